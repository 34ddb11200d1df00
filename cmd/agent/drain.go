package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	var following, ids bool
	cmd := &cobra.Command{
		Use:   "drain [--timeout 5s]\n  agent drain --follow [--id] [-- COMMAND [ARG]...]",
		Short: "Take all signals",
		Long: `Prints all signals of the project as JSON Lines, oldest first, and empties the
queue. Drops that were there before are among them. Where an agent serves the
project, it is asked; where none does, drain does the same by itself.

The signals are taken only once standard output has them all. If it fails, or
drain is interrupted, all go back into the queue. A standard output that is
closed (>&-) cannot be told from /dev/null, and takes everything.

Exit status 4 says that the timeout passed, and that nothing was taken.

With --follow it stays, and prints what comes as it comes, until its reader
ends, or SIGINT or SIGTERM comes; all of these are exit status 0. It waits where
there is no .spool yet, or no more, and goes on when an agent starts or stops.
What a pipe has taken counts as taken, also if the reader dies over it.

With a COMMAND nothing is printed. It is run for each batch of signals, which it
finds on its standard input, and these are taken once it ends with status 0.
With another status it gets the same batch again, after a pause.

When the follower is killed the next one hands over again what had not been
acknowledged. With --id each line begins with a member "id" that is the same
then, and that no other signal has, so that the receiver can discard repeats. It
ceases to be the same only if no follower comes within reply_ttl: then the
signals go back into the queue. Without --id, what was not handed over wholly
when the follower ends goes back at once.`,
		Example: `  agent drain >signals.jsonl
  agent drain --timeout 1s | jq -r .payload
  agent drain --follow | jq --unbuffered -r .payload
  agent drain --follow --id -- sh publish.sh`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (!following || cmd.ArgsLenAtDash() != 0) {
				return fmt.Errorf("unknown argument %q; a command is given as --follow -- COMMAND", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, command []string) error {
			if following {
				if cmd.Flags().Changed("timeout") {
					return usage("--timeout and --follow exclude each other, for who follows waits")
				}
				return followSignals(cmd.Context(), o, ids, command)
			}
			if ids {
				return usage("--id needs --follow")
			}
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
			id := spoolfiles.NewID()
			if err := obtain(ctx, sp, q, id, timeout, complain); err != nil {
				return err
			}
			return deliver(ctx, sp, q, id)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "wait no longer than `TIME` for the signals")
	cmd.Flags().BoolVar(&following, "follow", false, "stay, and take what comes")
	cmd.Flags().BoolVar(&ids, "id", false, "with --follow: give each signal an id that tells repeats")
	return cmd
}

// patience is how long the queue's lock is waited for when something must be
// put right before leaving. A hook at the end of a session has little more.
const patience = time.Second

var errTimeout = errors.New("timed out")

// obtain gets a reply with this ID: from the agent that serves the project,
// else from the queue. What had to be left behind is told.
func obtain(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string, timeout time.Duration, tell func(error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	before, _ := q.Ledger() // what is wrong with it, the drain says
	err := ask(ctx, sp, q, id)
	if err == errNoAgent {
		err = take(ctx, q, id, tell)
	}
	switch {
	case err == nil:
		if n := before.EvictedSince(); n > 0 {
			tell(fmt.Errorf("%d signals were evicted since the last drain; %s", n, moreRoom))
		}
		return nil
	case errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded):
		return &exit{exitTimedOut, fmt.Errorf("nothing was taken within %v: %w; try again, or with a longer --timeout", timeout, err)}
	case ctx.Err() != nil:
		return errors.New("interrupted; nothing was taken")
	}
	return err
}

// take drains without an agent. What a fold had to leave behind, no agent will
// have logged: so it is told here.
func take(ctx context.Context, q *queue.Queue, id string, tell func(error)) error {
	res, err := q.Take(ctx, id)
	if err != nil {
		return err
	}
	if res.Failed != nil {
		tell(fmt.Errorf("left in incoming: %w", res.Failed))
	}
	for _, r := range res.Rejects {
		tell(fmt.Errorf("rejected %s: %s", quote.Text(r.Name), quote.Text(r.Reason)))
	}
	return nil
}

// deliver copies a reply to standard output and acknowledges it. If it cannot,
// or ctx ends first, the reply goes back into the queue.
func deliver(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string) error {
	name := id + spoolfiles.ReplySuffix
	copied := make(chan error, 1)
	go func() { copied <- copyReply(sp, name) }() // nothing else interrupts a write to a full pipe
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
	n, gerr := q.Return(ctx, id)
	if gerr != nil {
		return fmt.Errorf("%w; the signals return to the queue after reply_ttl, since they cannot be given back now: %w", err, gerr)
	}
	return fmt.Errorf("%w; back in the queue: %d signals", err, n)
}

func copyReply(sp *spoolfiles.Spool, name string) error {
	f, err := sp.Control.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	return copyOut(f)
}
