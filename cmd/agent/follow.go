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
	"spoolagent/spoolfiles"
)

// errEnded says that who follows, or its reader, has ended over a batch.
var errEnded = errors.New("ended")

// followSignals is drain --follow.
func followSignals(ctx context.Context, o *options, ids bool, command []string) error {
	project, err := o.project()
	if err != nil {
		return err
	}
	c, err := o.load()
	if err != nil {
		return err
	}
	// Being told of SIGPIPE makes a closed pipe an error to react to; ignoring
	// it would have the command ignore it, too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := follow.Config{
		Project:      project,
		Options:      queueOptions(c),
		ScanInterval: time.Duration(c.ScanInterval),
		IDs:          ids,
		Report:       complain,
	}
	told := &news{}
	cfg.Drain = func(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string) error {
		defer told.turn()
		return obtain(ctx, sp, q, id, followTimeout, told.tell)
	}
	if len(command) > 0 {
		if _, err := exec.LookPath(command[0]); err != nil {
			return fmt.Errorf("the command that is to take the signals: %w", err)
		}
		cfg.Deliver = func(ctx context.Context, b follow.Batch) error { return feed(ctx, b, command) }
	} else {
		// A write that nobody reads fails by itself, and one that is through is.
		interrupted := ctx
		cfg.Deliver = func(_ context.Context, b follow.Batch) error { return printBatch(interrupted, b) }
	}
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	if len(command) == 0 {
		unwatch, err := watchReader(os.Stdout, gone)
		if err != nil {
			return fmt.Errorf("watching standard output: %w", err)
		}
		defer unwatch()
	}
	if err := follow.Run(ctx, cfg); err != errEnded {
		return err
	}
	return nil
}

// followTimeout is how long a follower waits for one answer before it
// withdraws the request, and tries again after a pause.
const followTimeout = 10 * time.Second

// printBatch copies a batch to standard output. If it is interrupted, what can
// be written at once still is: half a batch would come again as a whole.
func printBatch(interrupted context.Context, b follow.Batch) error {
	copied := make(chan error, 1)
	go func() { copied <- copyOut(b.Signals) }() // nothing else interrupts a write to a full pipe
	var late <-chan time.Time
	for done := interrupted.Done(); ; {
		select {
		case err := <-copied:
			if readerGone(err) {
				return errEnded
			}
			return err
		case <-done:
			done, late = nil, time.After(patience)
		case <-late:
			return errEnded
		}
	}
}

// The pauses between two attempts of the command at a batch.
const (
	minPause = time.Second
	maxPause = time.Minute
)

// feed runs the command on a batch until it succeeds.
func feed(ctx context.Context, b follow.Batch, command []string) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := runOn(ctx, b, command)
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
func runOn(ctx context.Context, b follow.Batch, command []string) error {
	if ctx.Err() != nil {
		return errEnded
	}
	// The command reads a file, not a pipe: were we killed, a pipe would end
	// within a line. Its offset is the command's, too.
	if _, err := b.Signals.Seek(0, io.SeekStart); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = b.Signals, os.Stdout, os.Stderr
	c.Cancel = func() error { return askToEnd(c.Process) }
	c.WaitDelay = commandPatience
	err := c.Run()
	if c.ProcessState != nil && c.ProcessState.Success() {
		return nil // whatever the context says
	}
	return err
}

const commandPatience = 5 * time.Second

// copyOut copies a file to standard output, to the disk if that is one.
func copyOut(f io.Reader) error {
	if _, err := io.Copy(os.Stdout, f); err != nil {
		return err
	}
	// A file may find out only now that its disk is full.
	if fi, err := os.Stdout.Stat(); err == nil && fi.Mode().IsRegular() {
		return os.Stdout.Sync()
	}
	return nil
}

// news tells what was not told at the last drain already: a drop that cannot
// be read is met at each.
type news struct{ last, now map[string]bool }

func (n *news) tell(err error) {
	if n.now == nil {
		n.now = map[string]bool{}
	}
	n.now[err.Error()] = true
	if !n.last[err.Error()] {
		complain(err)
	}
}

func (n *news) turn() { n.last, n.now = n.now, nil }
