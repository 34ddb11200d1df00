package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"spoolagent/agent"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// errNoAgent says that no agent serves the project, or not any more.
var errNoAgent = errors.New("no agent serves the project")

// ask drains by control file, into the reply with this ID. If it returns an
// error nothing was taken: the request is withdrawn, and an answer that was
// under way is given back. The error is errNoAgent if there is no agent to
// answer, or it has left.
func ask(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string) error {
	if err := served(sp); err != nil {
		return err
	}
	if err := sp.Control.WriteFile(id+spoolfiles.RequestSuffix, nil, sp.Tmp, false); err != nil {
		return fmt.Errorf("asking the agent: %w", err)
	}
	done, err := await(ctx, sp, id)
	if done {
		return err
	}

	// An agent that has seen the request finishes its answer under the lock;
	// one that died over it has left it to the next who gets the lock.
	if rerr := sp.Control.Remove(id + spoolfiles.RequestSuffix); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		return fmt.Errorf("%w, and withdrawing the request: %w", err, rerr)
	}
	grace := ctx
	if err != errNoAgent {
		var cancel context.CancelFunc
		grace, cancel = context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
	}
	if serr := q.Recover(grace); serr != nil {
		return fmt.Errorf("%w; an answer on its way would return to the queue after reply_ttl, since it cannot be given back now: %w", err, serr)
	}
	done, aerr := answered(sp, id)
	switch {
	case !done:
		return err
	case aerr != nil:
		return aerr
	case err == errNoAgent:
		return nil
	}
	if _, gerr := q.Return(grace, id); gerr != nil {
		return fmt.Errorf("%w; the answer returns to the queue after reply_ttl, since it cannot be given back now: %w", err, gerr)
	}
	return err
}

func served(sp *spoolfiles.Spool) error {
	_, ok, err := agent.Serving(sp)
	if err == nil && !ok {
		err = errNoAgent
	}
	return err
}

// await looks for the answer until it is there, ctx ends, or the agent leaves.
// It looks often at first, for an answer takes a millisecond or two, which is
// about what it would cost to set up a watch, and less and less often then.
func await(ctx context.Context, sp *spoolfiles.Spool, id string) (done bool, err error) {
	const slowest = 20 * time.Millisecond
	for nap, looked := 200*time.Microsecond, time.Now(); ; nap = min(nap*5/4, slowest) {
		if done, err := answered(sp, id); done {
			return true, err
		}
		if time.Since(looked) > 5*slowest {
			if err := served(sp); err != nil {
				return false, err
			}
			looked = time.Now()
		}
		select {
		case <-time.After(nap):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// maxRefusal bounds what is read of an ID.error: one line.
const maxRefusal = 64 << 10

// answered reports whether the answer is there; with an error if the agent
// has refused.
func answered(sp *spoolfiles.Spool, id string) (bool, error) {
	if _, err := sp.Control.Lstat(id + spoolfiles.ReplySuffix); err == nil {
		return true, nil
	}
	line, _, err := sp.Control.ReadFile(id+spoolfiles.ErrorSuffix, maxRefusal)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("reading the agent's answer: %w", err)
	}
	if err := sp.Control.Remove(id + spoolfiles.ErrorSuffix); err != nil {
		return true, fmt.Errorf("%s; and %w", strings.TrimSpace(string(line)), err)
	}
	return true, errors.New(strings.TrimSpace(string(line)))
}
