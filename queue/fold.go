package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// FoldResult says what a fold did.
type FoldResult struct {
	Folded   int // signals that came in, evicted ones included
	Evicted  int // signals that the cap pushed out
	Rejected int // drops, and lines of the queue, that were no signals

	// Rejects names the rejected drops, at most spoolfiles.MaxRejects of them.
	Rejects []Reject
	// Failed are drops that could not be read or moved, and stay where they are.
	Failed []Reject
	// Recovered: a transaction that a crash had interrupted was found first.
	Recovered bool
	// RetryAt is when the next drop that does not parse ceases to be fresh;
	// zero if there is none.
	RetryAt time.Time
}

func (r *FoldResult) retryAt(at time.Time) {
	if r.RetryAt.IsZero() || at.Before(r.RetryAt) {
		r.RetryAt = at
	}
}

func (r *FoldResult) reject(name, reason string) {
	r.Rejected++
	if len(r.Rejects) < spoolfiles.MaxRejects {
		r.Rejects = append(r.Rejects, Reject{name, oneLine(reason)})
	}
}

func (r *FoldResult) fail(name string, err error) {
	if len(r.Failed) < spoolfiles.MaxRejects {
		r.Failed = append(r.Failed, Reject{name, oneLine(err.Error())})
	}
}

// Fold moves every drop that is in incoming into the queue, evicts what the
// cap pushes out, and rejects what is no signal. While a request waits in
// control, nothing is evicted, for the request is to get all that waits.
//
// It waits for the queue's lock until ctx ends; the error is ErrLocked then.
// What it has done before an error stays done and is in the result; another
// Fold goes on from there.
func (q *Queue) Fold(ctx context.Context) (res FoldResult, err error) {
	if waits, err := q.waits(); err != nil || !waits {
		return res, err
	}
	h, recovered, err := q.acquire(ctx)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	res.Recovered = recovered
	c, err := q.sp.ScanControl()
	if err != nil {
		return res, fmt.Errorf("looking for requests: %w", err)
	}
	limit := q.opt.Cap
	if len(c.Requests) > 0 {
		limit = 0
	}
	err = q.fold(ctx, h, limit, &res)
	return res, err
}

// waits reports whether a fold has anything to do. It takes no lock.
func (q *Queue) waits() (bool, error) {
	n, err := q.sp.CountDrops()
	if err != nil || n > 0 {
		return n > 0, err
	}
	return q.interrupted()
}

// One transaction takes at most so much, so that its record stays small.
const (
	maxBatch      = 4096    // drops
	maxBatchBytes = 4 << 20 // bytes of lines
)

// fold is Fold under the lock, with a cap of limit signals; 0: none.
func (q *Queue) fold(ctx context.Context, h *held, limit int, res *FoldResult) error {
	drops, err := q.sp.ListDrops()
	if err != nil {
		return fmt.Errorf("listing drops: %w", err)
	}
	old, err := q.unread(ctx, drops, limit)
	if err == nil {
		err = q.evictDrops(ctx, h, drops[:old], res)
	}
	if err == nil {
		err = q.foldDrops(ctx, h, drops[old:], res)
	}
	if err == nil && res.Folded+res.Rejected > 0 {
		err = q.tidy(h, res)
	}
	if err == nil && limit > 0 {
		err = q.evictLines(h, int64(limit), res)
	}
	return err
}

// unread returns how many of the oldest drops a full queue would evict anyhow,
// so that they need not be read. It reads the newest until it has found as many
// signals as the queue keeps.
func (q *Queue) unread(ctx context.Context, drops []spoolfiles.Entry, limit int) (int, error) {
	if limit == 0 || len(drops) <= limit {
		return 0, nil
	}
	for i := len(drops) - 1; i >= 0; i-- {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if _, _, err := q.read(q.sp.Incoming, drops[i]); err == nil {
			if limit--; limit == 0 {
				return i, nil
			}
		}
	}
	return 0, nil
}

// read reads and decodes a drop.
func (q *Queue) read(dir *spoolfiles.Dir, e spoolfiles.Entry) (signal.Signal, spoolfiles.Info, error) {
	data, info, err := spoolfiles.ReadDrop(dir, e.Name, q.opt.MaxDrop, q.buf)
	if err != nil {
		return signal.Signal{}, info, err
	}
	const keep = 64 << 10
	if q.buf = nil; cap(data) <= keep {
		q.buf = data[:0]
	}
	s, err := signal.DecodeDrop(data, signal.Origin{
		Project:    q.sp.Project,
		Source:     spoolfiles.DropSource(e.Name),
		ModTime:    time.Unix(0, info.MTime),
		MaxPayload: q.opt.MaxPayload,
	})
	if err != nil {
		err = &spoolfiles.UnfitError{Reason: err.Error(), MayHeal: true}
	}
	return s, info, err
}

// evictDrops removes drops unread. They count as folded and evicted.
func (q *Queue) evictDrops(ctx context.Context, h *held, drops []spoolfiles.Entry, res *FoldResult) error {
	for len(drops) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := 0
		for _, e := range drops[:min(len(drops), maxBatch)] {
			taken, err := q.takeDrop(e.Name, e.Name, e.Identity, res)
			if err != nil {
				return err
			}
			if taken {
				n++
			}
		}
		drops = drops[min(len(drops), maxBatch):]
		if n == 0 {
			continue
		}
		l := h.ledger
		l.Folded += int64(n)
		l.Evicted += int64(n)
		l.LastFoldAt = time.Now()
		if err := q.commit(h, change{record: record{Verb: evictVerb, Signals: int64(n), Ledger: l}}); err != nil {
			return fmt.Errorf("evicting drops: %w", err)
		}
		res.Folded += n
		res.Evicted += n
	}
	return nil
}

// unfit is a drop that is to be rejected.
type unfit struct {
	entry  spoolfiles.Entry
	reason string
}

// foldDrops folds drops in batches. On a full disk the batches shrink.
func (q *Queue) foldDrops(ctx context.Context, h *held, drops []spoolfiles.Entry, res *FoldResult) error {
	most := maxBatch
	for len(drops) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		seen, taken, bad, err := q.foldBatch(h, drops[:min(len(drops), most)], res)
		if isFull(err) && !h.unfinished && taken > 1 {
			if most = taken / 2; q.clearWork() == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if err := q.rejectDrops(h, bad, res); err != nil {
			return err
		}
		drops = drops[seen:]
	}
	return nil
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// foldBatch folds the first of these drops. It returns how many it has seen,
// how many of them it took, and which are to be rejected.
func (q *Queue) foldBatch(h *held, drops []spoolfiles.Entry, res *FoldResult) (seen, taken int, bad []unfit, err error) {
	var lines []byte
	now := time.Now()
	for ; seen < len(drops) && len(lines) < maxBatchBytes; seen++ {
		e := drops[seen]
		s, info, err := q.read(q.sp.Incoming, e)
		if err == nil {
			ok, err := q.takeDrop(e.Name, e.Name, info.Identity, res)
			if err != nil {
				return seen, taken, nil, err
			}
			if ok {
				lines = append(s.AppendLine(lines), '\n')
				taken++
			}
		}
		var why *spoolfiles.UnfitError
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
		case !errors.As(err, &why):
			res.fail(e.Name, err)
		case why.MayHeal && fresh(info.MTime, now):
			res.retryAt(time.Unix(0, info.MTime).Add(Grace))
		default:
			bad = append(bad, unfit{spoolfiles.Entry{Name: e.Name, Info: info}, why.Reason})
		}
	}
	if taken == 0 {
		return seen, 0, bad, nil
	}
	l, c, err := q.account(h)
	if err != nil {
		return seen, taken, nil, err
	}
	size := h.info.Size
	l.Folded += int64(taken)
	l.Queued += int64(taken)
	l.LastFoldAt = now
	err = q.commit(h, change{record: record{Verb: foldVerb, Signals: int64(taken), Ledger: l}, body: bytesOf(lines)})
	if err != nil {
		return seen, taken, nil, err
	}
	res.Folded += taken
	if c.torn {
		size++ // the line feed that the last line lacked
	}
	if c.count == 0 {
		c.first = size
	}
	c.count, c.torn, c.canonical = c.count+int64(taken), false, c.canonical && !c.torn
	q.remember(h, c, size+int64(len(lines)))
	return seen, taken, bad, nil
}

// account returns what the queue has, and the ledger with what other programs
// have done in it.
func (q *Queue) account(h *held) (Ledger, content, error) {
	c, err := q.inspect(h)
	l := h.ledger
	l.close(c.count)
	return l, c, err
}

func bytesOf(lines []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(lines)
		return err
	}
}

// fresh reports whether what was modified then may still be being written. A
// time in the future is a clock's mistake, or a lie.
func fresh(mtime int64, now time.Time) bool {
	age := now.Sub(time.Unix(0, mtime))
	return age < Grace && age > -Grace
}

// rejectDrops moves drops to rejected.
func (q *Queue) rejectDrops(h *held, drops []unfit, res *FoldResult) error {
	for len(drops) > 0 {
		batch := drops[:min(len(drops), spoolfiles.MaxRejects)]
		drops = drops[len(batch):]
		var rejected []unfit
		for _, d := range batch {
			name := q.rejectName(d.entry.Name)
			taken, err := q.takeDrop(d.entry.Name, name, d.entry.Identity, res)
			if taken {
				err = q.giveReason(name, d.reason)
				rejected = append(rejected, d)
			}
			if err != nil {
				return err
			}
		}
		if len(rejected) == 0 {
			continue
		}
		l := h.ledger
		l.Rejected += int64(len(rejected))
		if err := q.commit(h, change{record: record{Verb: rejectVerb, Ledger: l}}); err != nil {
			return fmt.Errorf("rejecting drops: %w", err)
		}
		for _, d := range rejected {
			res.reject(d.entry.Name, d.reason)
		}
	}
	return nil
}

// clearWork puts back what is in work.
func (q *Queue) clearWork() error {
	names, err := q.sp.Work.List()
	if err != nil {
		return fmt.Errorf("listing work: %w", err)
	}
	return q.restoreWork(names)
}

// evictLines overwrites the oldest lines, so that no more than limit are left.
func (q *Queue) evictLines(h *held, limit int64, res *FoldResult) error {
	l, c, err := q.account(h)
	if err != nil || c.count <= limit {
		return err
	}
	if !c.canonical {
		if c, err = q.compact(h, res); err != nil {
			return err
		}
		l = h.ledger
	}
	n := c.count - limit
	end, err := linesEnd(h.f, c.first, h.info.Size, n)
	if err != nil {
		return fmt.Errorf("reading queue %s: %w", q.path(FileName), err)
	}
	l.Evicted += n
	l.Queued -= n
	// The last line feed may stay: it ends the blanks.
	r := record{Verb: evictVerb, From: c.first, To: end - 1, Signals: n, Ledger: l}
	if err := q.commit(h, change{record: r}); err != nil {
		return fmt.Errorf("evicting: %w", err)
	}
	res.Evicted += int(n)
	c.count, c.first = limit, end
	q.remember(h, c, h.info.Size)
	if wasted, live := c.first, h.info.Size-c.first; wasted > live+minWaste {
		_, err = q.compact(h, res)
	}
	return err
}

// minWaste is how many bytes of blanks, beyond those of the lines, are not worth
// a compaction.
const minWaste = 64 << 10
