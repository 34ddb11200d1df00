package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"spoolagent/agent/watch"
	"spoolagent/internal/filelock"
	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// scan brings everything up to date. A full scan also renews the watches, and
// sweeps whether there is a reply or not.
func (w *worker) scan(ctx context.Context) error {
	settings := w.agent.settings.Load()
	full := w.full.Swap(false) || time.Since(w.fullAt) > settings.ScanInterval/2
	sp, err := w.open(full)
	if err != nil {
		return err
	}
	defer func() {
		sp.Close()
		if w.agent.locks.Load() > w.agent.maxLocks {
			w.unlock() // there are too few open files to keep the lock until the next scan
		}
	}()
	opt := settings.Options
	opt.Plain = watch.Foreign(sp.Root.Path()) != "" // it may cease to answer, which must stop nobody else
	q := queue.New(sp, opt, &w.shape)
	if full {
		w.fullAt = time.Now()
		// What waits is folded before there is a watch, for each of its drops
		// would raise an event. Errors come again.
		if err := w.fold(ctx, q); ctx.Err() != nil {
			return err
		}
		if err := w.watch(); err != nil {
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

// open opens the spool, and takes its lock unless that is held. Events tell that one
// of its directories is missing; where none come, and in a full scan, it has a look.
func (w *worker) open(full bool) (*spoolfiles.Spool, error) {
	open := spoolfiles.Open
	switch {
	case !w.made:
		open = spoolfiles.Create
	case w.lock != nil:
		// It makes nothing, and so is not in the way of who is about to delete all.
		open = spoolfiles.OpenExisting
	}
	sp, err := open(w.project)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if w.lock != nil {
			err = errMoved
		}
		w.release()
		return nil, err
	case err != nil:
		return nil, err
	case w.lock == nil:
		w.made = true
		w.agent.mu.Lock()
		said := w.said
		w.agent.mu.Unlock()
		w.signed = w.agent.holder(w.project)
		w.signed.State, w.signed.Problem = said.State, said.Problem
		if w.lock, err = lock(sp.Root, w.signed, "project "+w.project+" is"); err == nil {
			w.agent.locks.Add(1)
		}
	case (full || w.unwatched != nil) && sp.Stale(), !filelock.Valid(w.lock):
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
	w.sign(StateStopped, "")
	w.unlock()
	w.unwatched = errNotServed
}

func (w *worker) unlock() {
	if w.lock == nil {
		return
	}
	w.lock.Unlock() // it closes the file, whatever else goes wrong
	w.lock = nil
	w.agent.locks.Add(-1)
}

// serve answers the requests, folds, and sweeps if there is a reply or with full.
// What comes meanwhile raises an event, and so another scan.
func (w *worker) serve(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, full bool) error {
	control, err := sp.ScanControl()
	if err != nil {
		return fmt.Errorf("listing requests: %w", err)
	}
	w.due = time.Time{}
	var errs []error
	for _, r := range control.Requests {
		err := w.answer(ctx, sp, q, r.ID)
		if passing(ctx, sp, err) {
			return err
		}
		errs = append(errs, err)
	}
	errs = append(errs, w.fold(ctx, q))
	if full || len(control.Requests)+len(control.Replies)+len(control.Errors)+len(control.Returning)+len(control.Misfits) > 0 {
		res, err := q.Sweep(ctx, time.Now())
		w.note(res)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// passing reports whether an error says nothing of what was done, but that it is
// to be done again by another scan.
func passing(ctx context.Context, sp *spoolfiles.Spool, err error) bool {
	return err != nil && (ctx.Err() != nil || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || sp.Stale())
}

// fold folds the drops. The error is also of drops that had to be left where they
// are.
func (w *worker) fold(ctx context.Context, q *queue.Queue) error {
	res, err := q.Fold(ctx)
	w.note(res)
	return errors.Join(err, res.Failed)
}

// answer answers a request. If it fails the consumer is told, who may be a hook
// with little time; what the failure means for the project the next fold will
// show, as it will drops that cannot be read. A request that waits for another
// scan, or cannot even be refused, is an error.
func (w *worker) answer(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string) error {
	n, res, err := q.Answer(ctx, id)
	w.note(res)
	log := w.log.With().Str("request", id).Logger()
	switch {
	case err == nil:
		log.Debug().Int("signals", n).Msg("drained")
	case passing(ctx, sp, err):
		return err
	default:
		if rerr := q.Refuse(id, err); rerr != nil {
			return errors.Join(err, rerr)
		}
		log.Warn().Str("reason", quote.Error(err)).Msg("request refused")
	}
	return nil
}

// note logs what was done, and notes when there is more to do: by the clock that
// no one sets.
func (w *worker) note(res queue.Result) {
	if !res.Due.IsZero() {
		w.due = earlier(w.due, time.Now().Add(time.Until(res.Due)))
	}
	if res.Folded > 0 {
		w.log.Debug().Int("signals", res.Folded).Msg("folded")
	}
	if res.Returned > 0 {
		w.log.Info().Int("signals", res.Returned).Msg("unclaimed replies returned to the queue")
	}
	if res.Evicted > 0 {
		w.log.Warn().Int("signals", res.Evicted).Int("cap", w.agent.settings.Load().Options.Cap).Msg("the queue is full: the oldest signals were evicted")
	}
	if len(res.Rejects) > 0 {
		r := res.Rejects[0]
		w.log.Warn().Int("number", res.Rejected).Str("drop", quote.Text(r.Name)).Str("reason", quote.Text(r.Reason)).Msg("rejected")
	}
}
