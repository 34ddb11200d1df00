//go:build !linux

package service

import "time"

// Notifier does nothing: only systemd wants to be told how a process does.
type Notifier struct{}

// NewNotifier returns one.
func NewNotifier() *Notifier { return &Notifier{} }

// Tell does nothing.
func (*Notifier) Tell(string) {}

// AliveEvery is 0: nobody watches.
func (*Notifier) AliveEvery() time.Duration { return 0 }
