package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

func drainCommand(o *options) *cobra.Command {
	var timeout time.Duration
	var following, ids, asJSON bool
	cmd := &cobra.Command{
		Use:   "drain [--timeout 5s] [--json] [-- COMMAND [ARG]...]\n  agent drain --follow [--id] [--json] [-- COMMAND [ARG]...]",
		Short: "Take all signals",
		Long: `Prints all signals of the project, oldest first, and empties the queue, with an
agent or without one: on a terminal a line for people, elsewhere and with --json
JSON Lines. The signals are taken once standard output, or /dev/null in place of a
closed one, has them all. If that fails, or drain is interrupted, all go back.

With a COMMAND nothing is printed. If there are signals, it is run and finds them
on its standard input, as JSON Lines. They are taken if it ends with status 0.

With --follow it stays, and prints what comes as it comes, until its reader
ends, or SIGINT or SIGTERM comes, all with exit status 0. What a pipe has taken
counts as taken. A COMMAND is run for each batch of signals; if it fails, it gets
the same batch again, after a pause.

When the follower is killed, the next one hands over again what had not been
acknowledged; without a next one, it goes back into the queue after reply_ttl.
With --id each line begins with a member "id" that no other signal has, and that
is the same when it is handed over again. Signals that have gone back into the
queue get new ids.`,
		Example: `  agent drain >signals.jsonl
  agent drain --timeout 1s | jq -r .payload
  agent drain -- sh digest.sh
  agent drain --follow | jq --unbuffered -r .payload
  agent drain --follow --id -- sh publish.sh`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return fmt.Errorf("unknown argument %q; a command is given as -- COMMAND", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, command []string) error {
			if len(command) > 0 {
				if _, err := exec.LookPath(command[0]); err != nil {
					return fmt.Errorf("the command that is to take the signals: %w", err)
				}
			}
			if following {
				if cmd.Flags().Changed("timeout") {
					return usage("--timeout and --follow exclude each other, for who follows waits")
				}
				return followSignals(cmd.Context(), o, ids, asJSON || ids, command)
			}
			if ids {
				return usage("--id needs --follow")
			}
			if timeout <= 0 {
				return usage("--timeout must be more than 0, such as 500ms or 5s")
			}
			sp, q, err := o.openQueue(spoolfiles.Open)
			if sp == nil {
				return err
			}
			defer sp.Close()
			noticeClosedPipe()
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			id := spoolfiles.NewID()
			if err := obtain(ctx, q, id, timeout, complain); err != nil {
				return err
			}
			return deliver(ctx, sp, q, id, asJSON, command)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "wait no longer than `TIME` for the signals")
	cmd.Flags().BoolVar(&following, "follow", false, "stay, and take what comes")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON Lines, also on a terminal")
	cmd.Flags().BoolVar(&ids, "id", false, "with --follow: give each signal an id that tells repeats")
	return cmd
}

// leavePatience is how long the queue's lock, or standard output, is waited for
// when something must be put right before leaving. A hook at the end of a session
// has little more.
const leavePatience = time.Second

var errTimeout = errors.New("timed out")

// obtain takes the signals into a reply with this ID. What had to be left behind
// is told.
func obtain(ctx context.Context, q *queue.Queue, id string, timeout time.Duration, tell func(error)) error {
	limited, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	res, err := q.Take(limited, id)
	switch {
	case ctx.Err() != nil && err != nil:
		return errors.New("interrupted; nothing was taken")
	case errors.Is(err, errTimeout):
		return &exit{exitTimedOut, fmt.Errorf("nothing was taken within %v: %w; try again, or with a longer --timeout", timeout, err)}
	case err != nil:
		return err
	}
	if n := res.EvictedSince; n > 0 {
		tell(fmt.Errorf("%d signals were evicted since the last drain; %s", n, moreRoom))
	}
	if res.Failed != nil {
		tell(fmt.Errorf("left behind: %w", res.Failed))
	}
	if len(res.Rejects) > 0 {
		r := res.Rejects[0]
		err := fmt.Errorf("rejected %s: %s", quote.Text(r.Name), quote.Text(r.Reason))
		if res.Rejected > 1 {
			err = fmt.Errorf("%w; and %d more, which are in .spool/rejected with their reasons", err, res.Rejected-1)
		}
		tell(err)
	}
	return nil
}

// noticeClosedPipe makes a closed pipe an error to react to, not the end. If the
// signal were ignored, a command that is run would ignore it, too.
func noticeClosedPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// deliver copies a reply to standard output, or has a command take it, and
// acknowledges it. If that fails, or ctx ends first, the reply goes back into the
// queue.
func deliver(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string, asJSON bool, command []string) error {
	name, taker := id+spoolfiles.ReplySuffix, "standard output"
	f, err := sp.Control.OpenFile(name, os.O_RDONLY)
	if err == nil {
		defer f.Close()
		if len(command) == 0 {
			err = copyOut(ctx, f, asJSON, q.Fsync())
		} else {
			taker = command[0]
			err = hand(ctx, sp, f, name, command)
		}
	}
	if err == nil {
		err = sp.Control.Remove(name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s took longer than reply_ttl, so the signals went back into the queue; the next drain has them again", taker)
		}
	}
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	n, gerr := q.Return(ctx, id)
	if gerr != nil {
		return fmt.Errorf("%w; the signals return to the queue after reply_ttl, since they cannot be given back now: %w", err, gerr)
	}
	word := "signals"
	if n == 1 {
		word = "signal"
	}
	return fmt.Errorf("%w; back in the queue: %d %s", err, n, word)
}

// hand runs a command on a reply that has signals, and keeps the reply meanwhile
// from being taken for unclaimed.
func hand(ctx context.Context, sp *spoolfiles.Spool, reply *os.File, name string, command []string) error {
	if info, err := reply.Stat(); err != nil || info.Size() == 0 {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- runOn(ctx, reply, command) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				err = fmt.Errorf("%s: %w", command[0], err)
			}
			return err
		case <-time.After(touchInterval):
			_ = sp.Control.Touch(name) // if it has gone, the acknowledgement says so
		}
	}
}

// touchInterval is far less than any sensible reply_ttl.
const touchInterval = 300 * time.Millisecond

var errInterrupted = errors.New("interrupted")

// copyOut copies signals to standard output, with fsync to the disk if that is one. If
// ctx ends, what can be written soon still is: half a batch would come again as a
// whole.
func copyOut(ctx context.Context, f io.Reader, asJSON, fsync bool) error {
	copied := make(chan error, 1)
	go func() { // nothing else interrupts a write to a full pipe
		err := printSignals(f, asJSON)
		// The reply, which is on the disk, goes once this is done.
		if fi, serr := os.Stdout.Stat(); err == nil && fsync && serr == nil && fi.Mode().IsRegular() {
			err = os.Stdout.Sync()
		}
		copied <- err
	}()
	select {
	case err := <-copied:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-copied:
		return err
	case <-time.After(leavePatience):
		return errInterrupted
	}
}
