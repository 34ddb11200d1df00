package queue

import (
	"context"
	"errors"
	"io"
	"os"

	"spoolagent/spoolfiles/signal"
)

// Peek calls each for every signal in the queue, oldest first, and malformed
// for every line that is none, with its number and what is wrong with it. The
// queue stays as it is; it is locked, shared, meanwhile.
func (q *Queue) Peek(ctx context.Context, each func(signal.Signal) error, malformed func(line int, err error)) error {
	h, err := q.reader(ctx)
	if h == nil || err != nil {
		return err
	}
	err = scan(io.NewSectionReader(h.f, 0, h.info.Size), func(l *line) error {
		if l.err == nil {
			return each(l.signal)
		}
		if l.err != signal.ErrBlank {
			malformed(l.number, l.err)
		}
		return nil
	})
	return errors.Join(err, h.release())
}

// reader locks the queue for reading; nil if there is none. A transaction that a
// crash has interrupted is recovered first.
func (q *Queue) reader(ctx context.Context) (*held, error) {
	interrupted, err := q.interrupted()
	if err == nil && interrupted {
		if err = q.sp.Complete(); err == nil {
			err = q.Recover(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	h, err := q.open(ctx, os.O_RDONLY)
	return h, gone(err)
}

// Ledger returns the ledger of the newest transaction. It takes no lock, and
// counts nothing.
func (q *Queue) Ledger() (Ledger, error) {
	last, err := q.newest()
	if last == nil {
		return Ledger{}, err
	}
	return last.Ledger, nil
}

// Status is what a spool has, counted on disk.
type Status struct {
	Queued   int // signals in the queue
	Incoming int // drops that wait
	Replies  int // replies that nobody has acknowledged yet
	Rejected int // files in rejected
	Ledger   Ledger
}

// Status counts what is there. In the ledger that it returns, what other
// programs have done since the last transaction is in External already. If the
// queue cannot be read, say because another program keeps it locked until ctx
// ends, the rest is counted all the same, and Queued is what the ledger says.
func (q *Queue) Status(ctx context.Context) (s Status, err error) {
	err = q.statusOfQueue(ctx, &s)
	var errs [3]error
	s.Incoming, errs[0] = q.sp.CountDrops()
	s.Rejected, errs[1] = q.sp.CountRejects()
	control, cerr := q.sp.ScanControl()
	errs[2] = cerr
	s.Replies = len(control.Replies) + len(control.Returning)
	return s, errors.Join(append(errs[:], err)...)
}

// statusOfQueue fills in what is under the queue's lock.
func (q *Queue) statusOfQueue(ctx context.Context, s *Status) error {
	h, err := q.reader(ctx)
	var lerr error
	s.Ledger, lerr = q.Ledger()
	if h != nil {
		var c content
		if c, err = contentOf(h.f, h.info.Size); err == nil {
			s.Ledger.close(c.count)
		}
		err = errors.Join(err, h.release())
	}
	s.Queued = int(s.Ledger.Queued)
	return errors.Join(err, lerr)
}
