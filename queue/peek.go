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
		err = q.Recover(ctx)
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

// Count returns the ledger as of now: Queued is what the queue has, and External has
// what other programs have done since the last transaction. If the queue cannot be
// read, say because another program keeps it locked until ctx ends, it is the
// ledger of the newest transaction, with an error.
func (q *Queue) Count(ctx context.Context) (Ledger, error) {
	h, err := q.reader(ctx)
	l, lerr := q.Ledger()
	if h != nil {
		var c content
		if c, err = contentOf(h.f, h.info.Size); err == nil {
			l.balance(c.count)
		}
		err = errors.Join(err, h.release())
	}
	return l, errors.Join(err, lerr)
}
