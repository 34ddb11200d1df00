package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"spoolagent/agent/follow"
	"spoolagent/queue"
)

// errEnded says that who follows, or its reader, has ended over a batch.
var errEnded = errors.New("ended")

// followSignals is drain --follow.
func followSignals(ctx context.Context, o *options, ids, asJSON bool, command []string) error {
	project, err := o.project()
	if err != nil {
		return err
	}
	c, err := o.load()
	if err != nil {
		return err
	}
	noticeClosedPipe()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := follow.Config{
		Project:      project,
		Options:      queueOptions(c),
		ScanInterval: time.Duration(c.ScanInterval),
		IDs:          ids,
		Report:       complain,
	}
	said := ""
	tell := func(err error) { // not once more what was told last: a drop that cannot be read is met by each drain
		if text := err.Error(); text != said {
			said = text
			complain(err)
		}
	}
	const first = 10 * time.Second // how long the queue's lock is waited for before that is told
	patience := first
	cfg.Drain = func(ctx context.Context, q *queue.Queue, id string) error {
		err := obtain(ctx, q, id, patience, tell)
		if patience = first; errors.Is(err, queue.ErrLocked) {
			patience = time.Hour // each wait that ends leaves an open file, until the lock is free
		}
		return err
	}
	// A write that nobody reads fails by itself, and one that is through is: so
	// only an interruption ends it.
	cfg.Deliver = func(_ context.Context, b follow.Batch) error {
		err := copyOut(ctx, b.Signals, asJSON, c.Fsync)
		if err == errInterrupted || readerGone(err) {
			return errEnded
		}
		return err
	}
	if len(command) > 0 {
		cfg.Deliver = func(ctx context.Context, b follow.Batch) error { return feed(ctx, b, command) }
	}
	following, gone := context.WithCancel(ctx)
	defer gone()
	if len(command) == 0 {
		watchReader(os.Stdout, gone)
	}
	if err := follow.Run(following, cfg); err != errEnded {
		return err
	}
	return nil
}

// feed runs the command on a batch until it succeeds.
func feed(ctx context.Context, b follow.Batch, command []string) error {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := runOn(ctx, b.Signals, command)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			complain(fmt.Errorf("%s: %w; it gets the same signals again in %v", command[0], err, pause))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errEnded
		}
	}
}

// runOn runs the command once. If ctx ends, the command gets SIGTERM, and has a
// little time to end well.
func runOn(ctx context.Context, signals *os.File, command []string) error {
	// The command reads a file, not a pipe: were we killed, a pipe would end
	// within a line. Its offset is the command's, too.
	if _, err := signals.Seek(0, io.SeekStart); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = signals, os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) } // on Windows an error: it is killed
	c.WaitDelay = 5 * time.Second
	err := c.Run()
	if c.ProcessState != nil && c.ProcessState.Success() {
		return nil // whatever the context says
	}
	return err
}
