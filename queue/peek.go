package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// Peek calls each for every signal in the queue, oldest first, and malformed
// for every line that is none, with its number and what is wrong with it. The
// queue stays as it is; it is locked, shared, meanwhile.
func (q *Queue) Peek(ctx context.Context, each func(signal.Signal) error, malformed func(line int, err error)) error {
	h, unsettled, err := q.reader(ctx)
	if h == nil || err != nil {
		return errors.Join(unsettled, err)
	}
	_, err = scanAll(h.f, h.info.Size, func(s signal.Signal, _ []byte) error { return each(s) }, func(b badLine) {
		malformed(b.number, errors.New(b.reason))
	})
	if err := errors.Join(err, h.release()); err != nil {
		return fmt.Errorf("reading queue %s: %w", q.path(FileName), err)
	}
	return unsettled
}

// reader locks the queue for reading; nil if there is none. A transaction that
// a crash has interrupted is finished first; unsettled says why if it cannot be.
func (q *Queue) reader(ctx context.Context) (h *held, unsettled, err error) {
	if q.pending() {
		if unsettled = q.sp.Complete(); unsettled == nil {
			unsettled = q.Settle(ctx)
		}
		if unsettled != nil && ctx.Err() != nil {
			return nil, nil, unsettled
		}
	}
	h, err = q.acquireShared(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return h, unsettled, err
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
// programs have done since the last transaction is in External already. If the
// queue cannot be read, say because another program keeps it locked until ctx
// ends, the rest is counted all the same, and Queued is what the ledger says.
func (q *Queue) Status(ctx context.Context) (s Status, err error) {
	err = q.statusOfQueue(ctx, &s)
	var control spoolfiles.Controls
	var errs [3]error
	s.Incoming, errs[0] = q.sp.CountDrops()
	s.Rejected, errs[1] = q.sp.CountRejects()
	control, errs[2] = q.sp.ScanControl()
	s.Replies = len(control.Replies) + len(control.Returning)
	return s, errors.Join(append(errs[:], err)...)
}

// statusOfQueue fills in what is under the queue's lock.
func (q *Queue) statusOfQueue(ctx context.Context, s *Status) (err error) {
	h, unsettled, err := q.reader(ctx)
	if h != nil {
		defer func() { err = errors.Join(err, h.release()) }()
	}
	var lerr error
	if s.Ledger, lerr = q.readLedger(); err == nil {
		var c content
		if h != nil {
			c, err = scanLines(h.f, h.info.Size, func(signal.Signal, []byte) error { return nil })
		}
		if err == nil {
			s.Ledger.settle(c.count)
		}
	}
	s.Queued = int(s.Ledger.Queued)
	return errors.Join(unsettled, err, lerr)
}
