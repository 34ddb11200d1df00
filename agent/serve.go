package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// patience is how long an operation of the queue may take before it is asked
// whether it gets on at all.
const patience = 5 * time.Second

// loudRejects is how many rejects of one fold are logged by name.
const loudRejects = 10

// serve answers the requests, folds, and sweeps where that is due. What comes
// while it does has raised an event, and so another look.
func (w *worker) serve(ctx context.Context, scan bool) error {
	w.lookAt = time.Time{}
	control, err := w.sp.ScanControl()
	if err != nil {
		return fmt.Errorf("looking for requests: %w", err)
	}
	folded := false
	var errs []error
	for _, r := range control.Requests {
		// One that cannot even be refused must not keep the others waiting.
		if folded, err = w.answer(ctx, r.ID); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil || errors.Is(err, errMoved) || err != nil && w.sp.Stale() {
			return err
		}
	}
	if !folded {
		errs = append(errs, w.fold(ctx))
	}
	now := time.Now()
	due := !w.dueAt.IsZero() && !w.dueAt.After(now)
	odd := len(control.Misfits)+len(control.Returning) > 0
	unknown := scan && w.dueAt.IsZero() && len(control.Replies) > 0 // made by others
	if due || odd || unknown || scan && now.Sub(w.tidiedAt) >= tidyInterval {
		errs = append(errs, w.sweep(ctx, now))
	}
	return errors.Join(errs...)
}

func (w *worker) fold(ctx context.Context) error {
	var res queue.FoldResult
	err := w.guarded(ctx, func(ctx context.Context) (err error) {
		res, err = w.queue.Fold(ctx)
		return err
	})
	return errors.Join(err, w.folded(res))
}

// answer answers one request, which folds, too. If it fails the consumer is
// told, who may be a hook with little time, unless we are only about to stop.
// What the failure means for the project the next fold will show.
func (w *worker) answer(ctx context.Context, id string) (folded bool, err error) {
	var (
		n   int
		res queue.FoldResult
	)
	err = w.guarded(ctx, func(ctx context.Context) (err error) {
		n, res, err = w.queue.Answer(ctx, id)
		return err
	})
	failed := w.folded(res)
	switch {
	case err == nil:
		w.dueAt = earlier(w.dueAt, time.Now().Add(w.options.ReplyTTL))
		w.log.Debug().Str("request", id).Int("signals", n).Msg("drained")
	case errors.Is(err, queue.ErrWithdrawn):
		w.log.Debug().Str("request", id).Msg("request withdrawn")
	case ctx.Err() != nil || errors.Is(err, errMoved) || w.sp.Stale():
		return false, err
	default:
		if rerr := w.queue.Refuse(id, err.Error()); rerr != nil {
			return false, errors.Join(err, rerr)
		}
		w.log.Warn().Str("request", id).Str("reason", quote.Error(err)).Msg("request refused")
		return false, failed
	}
	return true, failed
}

func (w *worker) sweep(ctx context.Context, now time.Time) error {
	var res queue.SweepResult
	err := w.guarded(ctx, func(ctx context.Context) (err error) {
		res, err = w.queue.Sweep(ctx, now)
		return err
	})
	w.tidiedAt, w.dueAt = now, res.Next
	if res.Returned > 0 {
		w.log.Info().Int("signals", res.Returned).Msg("unclaimed replies returned to the queue")
	}
	w.evicted(res.Evicted)
	w.rejected(res.Rejects, len(res.Rejects))
	return err
}

// folded notes and logs what a fold did. The error is of drops that had to be
// left where they are.
func (w *worker) folded(res queue.FoldResult) error {
	w.lookAt = earlier(w.lookAt, res.NextLook)
	if res.Recovered {
		w.log.Info().Msg("finished what a crash had interrupted")
	}
	if res.Folded > 0 {
		w.log.Debug().Int("signals", res.Folded).Msg("folded")
	}
	w.evicted(res.Evicted)
	w.rejected(res.Rejects, res.Rejected)
	if len(res.Failed) == 0 {
		return nil
	}
	f := res.Failed[0]
	return fmt.Errorf("%d drops cannot be read, among them %s: %s", len(res.Failed), quote.Text(f.Name), quote.Text(f.Reason))
}

func (w *worker) evicted(n int) {
	if n > 0 {
		w.log.Warn().Int("signals", n).Int("cap", w.options.Cap).Msg("the queue is full: the oldest signals were evicted")
	}
}

func (w *worker) rejected(rejects []queue.Reject, total int) {
	for _, r := range rejects[:min(len(rejects), loudRejects)] {
		w.log.Warn().Str("drop", quote.Text(r.Name)).Str("reason", quote.Text(r.Reason)).Msg("rejected")
	}
	if more := total - loudRejects; more > 0 {
		w.log.Warn().Int("more", more).Msg("rejected")
	}
}

// guarded runs an operation of the queue. It may have to wait for the lock as
// long as another program holds it: a wait in line, for who only tries now and
// then may never get it. If that takes long it keeps nobody else from scanning,
// it is shown in the project's state, and if the spool is deleted meanwhile the
// wait is given up.
func (w *worker) guarded(ctx context.Context, operation func(context.Context) error) error {
	before := w.progress()
	w.hang.stop()
	defer func() { w.hang = newAlarm(patience, w.hangs) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended, finished := make(chan struct{}), make(chan struct{})
	guard := time.AfterFunc(patience, func() {
		defer close(finished)
		w.endTurn()
		for {
			hang := newAlarm(patience, w.hangs)
			stale, now := w.sp.Stale(), w.progress()
			hang.stop()
			if stale {
				cancel(errMoved)
				return
			}
			if now == before {
				w.say(StateError, fmt.Sprintf("waiting: another program holds the lock of %s", queue.FileName))
			}
			before = now
			select {
			case <-ended:
				return
			case <-time.After(patience):
			}
		}
	})
	err := operation(ctx)
	if !guard.Stop() {
		close(ended)
		<-finished
	}
	return err
}

// progress changes with every transaction, which replaces the ledger's file.
func (w *worker) progress() spoolfiles.Identity {
	root, err := w.sp.Root.Stat()
	if err != nil {
		return spoolfiles.Identity{}
	}
	return root.Identity
}
