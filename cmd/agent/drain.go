package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

func drainCommand(o *options) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "drain [--timeout 5s]",
		Short: "Take all signals",
		Long: `Prints all signals of the project as JSON Lines, oldest first, and empties the
queue. Drops that were there before are among them. Where an agent serves the
project, it is asked; where none does, drain does the same by itself.

The signals are taken only once standard output has them all. If it fails, or
drain is interrupted, all go back into the queue. A standard output that is
closed (>&-) cannot be told from /dev/null, and takes everything.

Exit status 4 says that the timeout passed, and that nothing was taken.`,
		Example: `  agent drain >signals.jsonl
  agent drain --timeout 1s | jq -r .payload`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usage("--timeout must be more than 0, such as 5s or 500ms")
			}
			sp, q, err := o.openQueue()
			if sp == nil {
				return err
			}
			defer sp.Close()
			// A closed pipe is to be an error to react to, not the end.
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			id, err := obtain(ctx, sp, q, timeout)
			if err != nil {
				return err
			}
			return deliver(ctx, sp, q, id)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "wait no longer than `TIME` for the signals")
	return cmd
}

// patience is how long the queue's lock is waited for when something must be
// put right before leaving. A hook at the end of a session has little more.
const patience = time.Second

var errTimeout = errors.New("timed out")

// obtain gets a reply and returns its ID: from the agent that serves the
// project, else from the queue.
func obtain(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	id, err := ask(ctx, sp, q)
	if err == errNoAgent {
		id, err = take(ctx, q)
	}
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded):
		return "", &exit{exitTimedOut, fmt.Errorf("nothing was taken within %v: %w; try again, or with a longer --timeout", timeout, err)}
	case ctx.Err() != nil:
		return "", errors.New("interrupted; nothing was taken")
	}
	return "", err
}

// take drains without an agent. What a fold had to leave behind, no agent will
// have logged: so it is told here.
func take(ctx context.Context, q *queue.Queue) (string, error) {
	res, err := q.Fold(ctx)
	if err != nil {
		return "", err
	}
	for _, f := range res.Failed {
		fmt.Fprintf(os.Stderr, "agent: drop %s cannot be read and stays in incoming: %s\n", safe(f.Name), safe(f.Reason))
	}
	for _, r := range res.Rejects {
		fmt.Fprintf(os.Stderr, "agent: rejected %s: %s\n", safe(r.Name), safe(r.Reason))
	}
	return q.Take(ctx)
}

// deliver copies a reply to standard output and acknowledges it. If it cannot,
// or ctx ends first, the reply goes back into the queue.
func deliver(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string) error {
	name := id + spoolfiles.ReplySuffix
	copied := make(chan error, 1)
	go func() { copied <- copyOut(sp, name) }() // nothing else interrupts a write to a full pipe
	var err error
	select {
	case err = <-copied:
	case <-ctx.Done():
		err = errors.New("interrupted")
	}
	if err == nil {
		err = sp.Control.Remove(name)
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New("standard output took longer than reply_ttl, so the signals went back into the queue; the next drain has them again")
		}
	}
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	n, gerr := q.GiveBack(ctx, id)
	if gerr != nil {
		return fmt.Errorf("%w; the signals return to the queue after reply_ttl, since they cannot be given back now: %w", err, gerr)
	}
	return fmt.Errorf("%w; back in the queue: %d signals", err, n)
}

func copyOut(sp *spoolfiles.Spool, name string) error {
	f, err := sp.Control.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(os.Stdout, f); err != nil {
		return err
	}
	// A file may find out only now that its disk is full.
	if fi, err := os.Stdout.Stat(); err == nil && fi.Mode().IsRegular() {
		return os.Stdout.Sync()
	}
	return nil
}
