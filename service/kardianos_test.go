//go:build linux || darwin

package service

import (
	"context"
	"errors"
	"testing"
)

func TestWithinLimit(t *testing.T) {
	failure := errors.New("failure")
	if err := withinLimit(t.Context(), func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("a call's error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	hangs := make(chan struct{})
	defer close(hangs)
	err := withinLimit(ctx, func() error {
		cancel()
		<-hangs
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a call that hangs has the error %v", err)
	}
}
