package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// Result says what was done.
type Result struct {
	Folded       int   // signals that came in, evicted ones included
	Evicted      int   // signals that the cap pushed out
	Returned     int   // signals of replies that nobody acknowledged
	Rejected     int   // drops, requests, and lines of the queue, that were none
	EvictedSince int64 // signals that the cap had pushed out since the drain before

	// Rejects names the rejected ones, at most spoolfiles.MaxRejects of them.
	Rejects []Reject
	// Failed: drops could not be read or moved, and stay where they are; or something
	// could not be tidied up, or noted. The error is that of the first.
	Failed error
	// Due is when there is more to do: a drop that does not parse ceases to be
	// fresh, or a reply returns. Zero if there is nothing.
	Due time.Time
}

func (r *Result) dueAt(at time.Time) {
	if r.Due.IsZero() || at.Before(r.Due) {
		r.Due = at
	}
}

func (r *Result) reject(name, reason string) {
	r.Rejected++
	if len(r.Rejects) < spoolfiles.MaxRejects {
		r.Rejects = append(r.Rejects, Reject{name, reason})
	}
}

func (r *Result) fail(what string, err error) {
	if r.Failed == nil && err != nil {
		r.Failed = fmt.Errorf("%s: %w", quote.Text(what), err)
	}
}

// Fold moves every drop that is in incoming into the queue, evicts what the
// cap pushes out, and rejects what is no signal. While a request waits in
// control, nothing is evicted, for the request is to get all that waits.
//
// It waits for the queue's lock until ctx ends; the error is ErrLocked then.
// What it has done before an error stays done and is in the result; another
// Fold goes on from there.
func (q *Queue) Fold(ctx context.Context) (res Result, err error) {
	n, err := q.sp.CountDrops()
	waits := n > 0
	if err == nil && !waits {
		waits, err = q.interrupted()
	}
	if err == nil && waits {
		err = q.locked(ctx, func(h *held) error { return q.fold(ctx, h, q.opt.Cap, &res) })
	}
	return res, err
}

// One transaction takes at most so much, so that its record stays small.
const (
	maxBatch      = 4096    // drops
	maxBatchBytes = 4 << 20 // bytes of lines
)

// fold is Fold under the lock, with this cap; 0: none. On a full disk the batches
// shrink.
func (q *Queue) fold(ctx context.Context, h *held, limit int, res *Result) error {
	drops, err := q.sp.ListDrops()
	if err != nil {
		return fmt.Errorf("listing drops: %w", err)
	}
	for most := maxBatch; ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		seen, taken, err := q.foldBatch(h, drops[:min(len(drops), most)], res)
		if (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) && !h.unfinished && taken > 1 {
			if most = taken / 2; q.clearWork() == nil {
				continue
			}
		}
		if err == nil {
			err = q.tidy(h, limit, res)
		}
		if drops = drops[seen:]; err != nil || len(drops) == 0 {
			return err
		}
	}
}

// read reads and decodes a drop.
func (q *Queue) read(dir *spoolfiles.Dir, name string) (signal.Signal, spoolfiles.Info, error) {
	data, info, err := spoolfiles.ReadDrop(dir, name, q.opt.MaxDrop)
	if err != nil {
		return signal.Signal{}, info, err
	}
	s, err := signal.DecodeDrop(data, signal.Origin{
		Project:    q.sp.Project,
		Source:     spoolfiles.DropSource(name),
		ModTime:    time.Unix(0, info.MTime),
		MaxPayload: q.opt.MaxPayload,
	})
	if err != nil {
		err = &spoolfiles.UnfitError{Reason: err.Error(), MayHeal: true}
	}
	return s, info, err
}

// foldBatch folds the first of these drops, and rejects those that are no
// signals. It returns how many it has seen, and how many of them it took.
func (q *Queue) foldBatch(h *held, drops []spoolfiles.Entry, res *Result) (seen, taken int, err error) {
	var lines []byte
	now, rejected := time.Now(), h.ledger.Rejected
	came := map[string]int{} // by source
	for ; seen < len(drops) && len(lines) < maxBatchBytes; seen++ {
		e := drops[seen]
		s, info, err := q.read(q.sp.Incoming, e.Name)
		e.Info = info
		why, _ := errors.AsType[*spoolfiles.UnfitError](err)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil && why == nil:
			res.fail("drop "+e.Name, err)
			continue
		case why != nil && why.MayHeal && fresh(info.MTime, now):
			res.dueAt(time.Unix(0, info.MTime).Add(Grace))
			continue
		}
		ok, err := q.takeDrop(e, res)
		switch {
		case err != nil:
			return seen, taken, err
		case !ok:
		case why == nil:
			lines = append(s.AppendLine(lines), '\n')
			came[spoolfiles.DropSource(e.Name)]++
			taken++
		default:
			if err := q.setAside(q.sp.Work, e.Name, why.Reason); err != nil {
				return seen, taken, err
			}
			h.ledger.Rejected++
			res.reject(e.Name, why.Reason)
		}
	}
	if h.ledger.Rejected > rejected {
		_ = q.sp.PruneRejects() // the next reject tries again
	} else if taken == 0 {
		return seen, 0, nil
	}
	l, c, err := q.account(h)
	if err != nil {
		return seen, taken, err
	}
	size := h.info.Size
	if taken > 0 {
		l.Folded += int64(taken)
		l.Queued += int64(taken)
		l.LastFoldAt = now
	}
	err = q.commit(h, &record{Verb: foldVerb, Signals: int64(taken), Ledger: l}, func(w *pieceWriter) error {
		_, err := w.Write(lines)
		return err
	})
	if err != nil {
		return seen, taken, err
	}
	res.Folded += taken
	if c.count == 0 {
		c.first = size
	}
	c.count += int64(taken)
	q.remember(h, c, size+int64(len(lines)))
	if taken > 0 {
		res.fail(activityName, q.noteActivity(came, now))
	}
	return seen, taken, nil
}

// fresh reports whether what was modified then may still be being written. A
// time in the future is a clock's mistake, or a lie.
func fresh(mtime int64, now time.Time) bool {
	age := now.Sub(time.Unix(0, mtime))
	return age < Grace && age > -Grace
}

// tidy moves malformed lines to rejected, and overwrites the oldest signals, so
// that no more than limit are left, unless a request waits for them; 0: no limit.
func (q *Queue) tidy(h *held, limit int, res *Result) error {
	l, c, err := q.account(h)
	if err == nil && c.bad > 0 {
		if err = q.compact(h, res); err == nil {
			l, c, err = q.account(h)
		}
	}
	over := c.count - int64(limit)
	if err != nil || limit == 0 || over <= 0 {
		return err
	}
	if control, err := q.sp.ScanControl(); err != nil || len(control.Requests) > 0 {
		return err
	}
	n := min(over, maxBatch)
	end, err := signalsEnd(h.f, c.first, h.info.Size, n)
	if err != nil {
		return fmt.Errorf("reading queue %s: %w", q.path(FileName), err)
	}
	l.Evicted += n
	l.Queued -= n
	r := &record{Verb: evictVerb, From: c.first, To: end - 1, Signals: n, Ledger: l}
	if err := q.commit(h, r, nil); err != nil {
		return err
	}
	res.Evicted += int(n)
	c.count, c.first = c.count-n, end
	q.remember(h, c, h.info.Size)
	if wasted, live := c.first, h.info.Size-c.first; wasted > live+minWaste {
		if err := q.compact(h, res); err != nil {
			return err
		}
	}
	if n < over {
		return q.tidy(h, limit, res)
	}
	return nil
}

// minWaste is how many bytes of blanks, beyond those of the lines, are not worth
// a compaction.
const minWaste = 64 << 10
