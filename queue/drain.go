package queue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// Answer folds what is in incoming and then answers the request control/ID.drain:
// all signals of the queue move to control/ID.signals. It returns how many
// these are: none if the request is no longer there.
//
// Everything that was renamed into incoming before the request was made is in
// the answer, for incoming is listed after the request has been seen. The cap
// evicts nothing of it.
func (q *Queue) Answer(ctx context.Context, id string) (signals int, res Result, err error) {
	signals, err = q.drain(ctx, id, true, &res)
	return signals, res, err
}

// Take is for a consumer that waits for nobody: it sweeps, folds and drains into
// control/ID.signals, which the consumer then removes or returns. The id must be
// unique. The cap evicts nothing.
func (q *Queue) Take(ctx context.Context, id string) (res Result, err error) {
	all := *q
	all.opt.Cap = 0
	res, res.Failed = all.Sweep(ctx, time.Now()) // what cannot be tidied up is in nobody's way
	_, err = all.drain(ctx, id, false, &res)
	return res, err
}

func (q *Queue) drain(ctx context.Context, id string, requested bool, res *Result) (n int, err error) {
	if !spoolfiles.ValidID(id) {
		return 0, fmt.Errorf("draining: %q is no valid id", id)
	}
	err = q.locked(ctx, func(h *held) error {
		res.EvictedSince = h.ledger.EvictedSince()
		if err := q.fold(ctx, h, 0, res); err != nil {
			return err
		}
		names, err := q.sp.Control.List()
		has := func(suffix string) bool { return slices.Contains(names, id+suffix) }
		switch {
		case err != nil, requested && !has(spoolfiles.RequestSuffix): // it has been withdrawn
		case has(spoolfiles.ReplySuffix), has(spoolfiles.ReturningSuffix): // only the request was left
			err = q.removeRequest(id)
		default:
			n, err = q.takeAll(h, id)
		}
		return err
	})
	return n, err
}

func (q *Queue) removeRequest(id string) error {
	return gone(q.sp.Control.Remove(id + spoolfiles.RequestSuffix))
}

// takeAll moves all signals of the queue to the reply.
func (q *Queue) takeAll(h *held, id string) (int, error) {
	l, c, err := q.account(h)
	if err != nil {
		return 0, err
	}
	if c.count == 0 {
		if err := q.sp.Control.WriteFile(id+spoolfiles.ReplySuffix, nil, q.sp.Tmp, false); err != nil {
			return 0, fmt.Errorf("writing reply: %w", err)
		}
		return 0, q.removeRequest(id)
	}
	if err := q.writeReply(h, id); err != nil {
		return 0, fmt.Errorf("writing reply: %w", err)
	}
	l.Drained += c.count
	l.Queued, l.EvictedBefore, l.LastDrainAt = 0, l.Evicted, time.Now()
	r := &record{Verb: drainVerb, ID: id, From: c.first, To: c.end(h.info.Size), Signals: c.count, Ledger: l}
	if err := q.commit(h, r, nil); err != nil {
		if !h.unfinished {
			err = errors.Join(err, q.sp.Tmp.Remove(replyName(id)))
		}
		return 0, err
	}
	q.remember(h, content{}, 0)
	return int(c.count), nil
}

// writeReply writes the reply, which becomes visible at the end of the drain.
func (q *Queue) writeReply(h *held, id string) error {
	name := replyName(id)
	f, err := q.sp.Tmp.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, bufferSize)
	err = copySignals(out, io.NewSectionReader(h.f, 0, h.info.Size), nil)
	if err = errors.Join(err, out.Flush()); err == nil && q.opt.Fsync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, q.sp.Tmp.Remove(name))
	}
	return nil
}

// Refuse answers a request with control/ID.error, which has what went wrong as its
// one line, and removes the request.
func (q *Queue) Refuse(id string, reason error) error {
	err := q.sp.Control.WriteFile(id+spoolfiles.ErrorSuffix, []byte(quote.Error(reason)+"\n"), q.sp.Tmp, false)
	if err != nil {
		return fmt.Errorf("refusing request %s: %w", id, err)
	}
	return q.removeRequest(id)
}

// Recover takes the lock and releases it: then whoever was in the middle of a
// transaction is through, and one that a crash had interrupted is recovered.
func (q *Queue) Recover(ctx context.Context) error {
	return q.locked(ctx, func(*held) error { return nil })
}
