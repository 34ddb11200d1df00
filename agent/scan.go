package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// loudRejects is how many rejects of one fold are logged by name.
const loudRejects = 10

// scan brings everything up to date. With full it also makes sure of what is
// otherwise taken on trust.
func (w *worker) scan(ctx context.Context, full bool) error {
	w.folded = false
	sp, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		sp.Close()
		if w.serving && w.agent.locks.n.Load() > w.agent.maxLocks {
			w.unlock() // there are too few open files to keep the lock until the next scan
		}
	}()
	w.settings = w.agent.settings.Load()
	q := queue.New(sp, w.settings.Options, &w.shape)
	if full || !w.watched && w.unwatched == nil {
		w.fullAt = time.Now()
		if err := w.watch(ctx, q); err != nil {
			return err
		}
	}
	err = w.serve(ctx, sp, q, full)
	if err != nil && sp.Stale() {
		w.release()
		return errMoved
	}
	return err
}

// open opens the spool, and takes its lock unless that is held.
func (w *worker) open(ctx context.Context) (*spoolfiles.Spool, error) {
	open := spoolfiles.Open
	switch {
	case !w.made:
		open = spoolfiles.Create
	case w.serving:
		// It makes nothing, and so is not in the way of who is about to delete all.
		open = spoolfiles.OpenExisting
	}
	sp, err := open(w.project)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if w.serving {
			err = errMoved
		}
		w.release()
		return nil, err
	case err != nil:
		return nil, err
	case !w.serving:
		w.made = true
		err = w.agent.locks.acquire(ctx, sp, w.agent.self)
		w.serving = err == nil
	case sp.Stale() || !w.agent.locks.valid(w.project, w.project):
		err = errMoved
		w.release()
	}
	if err != nil {
		sp.Close()
	}
	return sp, err
}

// release lets go of the project.
func (w *worker) release() {
	for _, dir := range w.dirs() {
		w.agent.watches.Remove(dir)
	}
	w.unlock()
	w.watched, w.unwatched = false, nil
	w.replyAt, w.freshUntil = time.Time{}, time.Time{}
}

func (w *worker) unlock() {
	w.serving = false
	w.agent.locks.release(w.project)
}

// serve answers the requests, folds, and sweeps where that is due. What comes
// meanwhile raises an event, and so another scan.
func (w *worker) serve(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, full bool) error {
	control, err := sp.ScanControl()
	if err != nil {
		return fmt.Errorf("listing requests: %w", err)
	}
	folded := false
	var errs []error
	for _, r := range control.Requests {
		folded, err = w.answer(ctx, sp, q, r.ID)
		if err != nil && (ctx.Err() != nil || outOfFiles(err) || sp.Stale()) {
			return err
		}
		errs = append(errs, err)
	}
	if !folded {
		errs = append(errs, w.fold(ctx, q))
	}
	odd := len(control.Misfits)+len(control.Returning) > 0
	if now := time.Now(); full || odd || !w.replyAt.IsZero() && !now.Before(w.replyAt) {
		errs = append(errs, w.sweep(ctx, q, now))
	}
	return errors.Join(errs...)
}

func (w *worker) fold(ctx context.Context, q *queue.Queue) error {
	res, err := q.Fold(ctx)
	return errors.Join(err, w.note(res))
}

// answer answers a request, and reports whether that has folded what there is.
// If it fails the consumer is told, who may be a hook with little time; what the
// failure means for the project the next fold will show. A request that waits
// for another scan, or cannot even be refused, is an error.
func (w *worker) answer(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string) (folded bool, err error) {
	n, res, err := q.Answer(ctx, id)
	unread := w.note(res)
	log := w.log.With().Str("request", id).Logger()
	switch {
	case err == nil:
		w.replyAt = earlier(w.replyAt, time.Now().Add(w.settings.Options.ReplyTTL))
		log.Debug().Int("signals", n).Msg("drained")
	case errors.Is(err, queue.ErrWithdrawn):
		log.Debug().Msg("request withdrawn")
	case ctx.Err() != nil || outOfFiles(err) || sp.Stale():
		return false, err
	default:
		if rerr := q.Refuse(id, err.Error()); rerr != nil {
			return false, errors.Join(err, rerr)
		}
		log.Warn().Str("reason", quote.Error(err)).Msg("request refused")
		return false, nil
	}
	return true, unread
}

func (w *worker) sweep(ctx context.Context, q *queue.Queue, now time.Time) error {
	res, err := q.Sweep(ctx, now)
	w.replyAt = time.Time{}
	if !res.Next.IsZero() {
		w.replyAt = now.Add(res.Next.Sub(now)) // by the clock that no one sets
	}
	if res.Returned > 0 {
		w.log.Info().Int("signals", res.Returned).Msg("unclaimed replies returned to the queue")
	}
	w.logResult(res.FoldResult)
	return err
}

// note notes what a fold did. The error is of drops that had to be left where
// they are.
func (w *worker) note(res queue.FoldResult) error {
	w.folded = w.folded || res.Folded > 0
	w.freshUntil = time.Time{}
	if !res.RetryAt.IsZero() {
		w.freshUntil = time.Now().Add(time.Until(res.RetryAt))
	}
	w.logResult(res)
	if len(res.Failed) == 0 {
		return nil
	}
	f := res.Failed[0]
	return fmt.Errorf("%d drops cannot be read, among them %s: %s", len(res.Failed), quote.Text(f.Name), quote.Text(f.Reason))
}

func (w *worker) logResult(res queue.FoldResult) {
	if res.Recovered {
		w.log.Info().Msg("recovered what a crash had interrupted")
	}
	if res.Folded > 0 {
		w.log.Debug().Int("signals", res.Folded).Msg("folded")
	}
	if res.Evicted > 0 {
		w.log.Warn().Int("signals", res.Evicted).Int("cap", w.settings.Options.Cap).Msg("the queue is full: the oldest signals were evicted")
	}
	for _, r := range res.Rejects[:min(len(res.Rejects), loudRejects)] {
		w.log.Warn().Str("drop", quote.Text(r.Name)).Str("reason", quote.Text(r.Reason)).Msg("rejected")
	}
	if more := res.Rejected - loudRejects; more > 0 {
		w.log.Warn().Int("more", more).Msg("rejected")
	}
}
