package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"spoolagent/spoolfiles"
)

// Peek calls each for every signal in the queue, oldest first, and malformed
// for every line that is none, with its number and what is wrong with it. The
// queue stays as it is; it is locked, shared, meanwhile.
func (q *Queue) Peek(ctx context.Context, each func(spoolfiles.Signal) error, malformed func(line int, err error)) error {
	h, err := q.reader(ctx)
	if h == nil || err != nil {
		return err
	}
	c, err := scanLines(h.f, h.info.Size, func(s spoolfiles.Signal, _ []byte) error { return each(s) })
	if err := errors.Join(err, h.release()); err != nil {
		return fmt.Errorf("reading queue %s: %w", q.path(FileName), err)
	}
	for _, b := range c.bad {
		malformed(b.number, errors.New(b.reason))
	}
	return nil
}

// reader locks the queue for reading; nil if there is none. A transaction that
// a crash has interrupted is finished first, where that can be done.
func (q *Queue) reader(ctx context.Context) (*held, error) {
	if q.pending() {
		if err := q.Settle(ctx); err != nil && ctx.Err() != nil {
			return nil, err
		}
	}
	h, err := q.acquireShared(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return h, err
}

// Status is what a spool has, counted on disk.
type Status struct {
	Queued   int // signals in the queue
	Incoming int // drops that wait
	Replies  int // replies that nobody has claimed yet
	Rejected int // files in rejected
	Ledger   Ledger
}

// Status counts what is there. The ledger it returns is settled: what other
// programs have done since the last transaction is in External already.
func (q *Queue) Status(ctx context.Context) (s Status, err error) {
	h, err := q.reader(ctx)
	if err != nil {
		return s, err
	}
	if h != nil {
		var c content
		c, err = scanLines(h.f, h.info.Size, func(spoolfiles.Signal, []byte) error { return nil })
		s.Queued = int(c.count)
	}
	var lerr error
	s.Ledger, lerr = q.readLedger()
	s.Ledger.settle(int64(s.Queued))
	if h != nil {
		err = errors.Join(err, h.release())
	}
	var derr, rerr, cerr error
	s.Incoming, derr = q.sp.CountDrops()
	s.Rejected, rerr = q.sp.CountRejects()
	control, cerr := q.sp.ScanControl()
	s.Replies = len(control.Replies) + len(control.Returning)
	return s, errors.Join(err, lerr, derr, rerr, cerr)
}
