//go:build !linux

package service

import "time"

// Notifier does nothing: only systemd wants to be told how a process does.
type Notifier struct{}

// NewNotifier returns one.
func NewNotifier() *Notifier { return &Notifier{} }

// Ready does nothing.
func (*Notifier) Ready() {}

// Status does nothing.
func (*Notifier) Status(string) {}

// Reloading does nothing.
func (*Notifier) Reloading() {}

// Stopping does nothing.
func (*Notifier) Stopping() {}

// AliveEvery is 0: nobody watches.
func (*Notifier) AliveEvery() time.Duration { return 0 }

// Alive does nothing.
func (*Notifier) Alive() {}
