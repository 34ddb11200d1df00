//go:build !linux

package service

import "time"

// Tell does nothing: only systemd wants to be told how a process does.
func Tell(string) {}

// AliveEvery is 0: nobody watches.
func AliveEvery() time.Duration { return 0 }
