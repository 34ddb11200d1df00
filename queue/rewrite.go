package queue

import (
	"crypto/sha256"
	"fmt"
	"io"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// rewriting says what a rewrite is for. A rewrite overwrites the whole queue
// with blanks, which empties it. Then it appends the lines of lead, and behind
// them the queue's own, in canonical form.
type rewriting struct {
	verb verb
	id   string                // of a reply that returns
	lead func(io.Writer) error // writes lines; nil: none. It may be called twice.

	// keep begins a pass over the queue and returns a function that tells which
	// of its signals stay; nil: all.
	keep func() func(*line) bool

	ours func([]byte) bool // which malformed lines are pieces of ours, not to be rejected; nil: none
}

// compact rewrites the queue without its blanks and malformed lines.
func (q *Queue) compact(h *held, res *Result) error {
	return q.rewrite(h, rewriting{verb: compactVerb}, res)
}

func (q *Queue) rewrite(h *held, w rewriting, res *Result) error {
	c, err := q.inspect(h)
	if err == nil {
		err = q.rejectLines(h, h.f, h.info.Size, FileName, w.ours, res)
	}
	if err != nil {
		return err
	}
	r := &record{Verb: w.verb, ID: w.id, To: c.end(h.info.Size), Signals: c.count, Ledger: h.ledger}
	err = q.commit(h, r, func(out *pieceWriter) error {
		if w.lead != nil {
			if err := w.lead(out); err != nil {
				return err
			}
		}
		r.Lead = out.at - r.bodyAt()
		var keep func(*line) bool
		if w.keep != nil {
			keep = w.keep()
		}
		err := copySignals(out, io.NewSectionReader(h.f, 0, h.info.Size), keep)
		r.Ledger.balance(out.lines)
		return err
	})
	if err != nil {
		return err
	}
	q.remember(h, content{count: r.Ledger.Queued}, r.Body)
	return nil
}

// copySignals copies the signals among some lines, in canonical form: those
// that keep wants, or all if it is nil.
func copySignals(to io.Writer, from io.Reader, keep func(*line) bool) error {
	var text []byte
	return scan(from, func(l *line) error {
		if l.err != nil || keep != nil && !keep(l) {
			return nil
		}
		text = l.canonical(text[:0])
		_, err := to.Write(text)
		return err
	})
}

// rejectLines copies malformed lines to rejected, but those that are ours.
func (q *Queue) rejectLines(h *held, f io.ReaderAt, size int64, where string, ours func([]byte) bool, res *Result) error {
	before := h.ledger.Rejected
	err := scan(io.NewSectionReader(f, 0, size), func(l *line) error {
		if l.err == nil || l.err == signal.ErrBlank || ours != nil && ours(l.text) {
			return nil
		}
		which := fmt.Sprintf("line %d of %s", l.number, where)
		res.reject(which, l.err.Error())
		if h.ledger.Rejected++; h.ledger.Rejected%spoolfiles.MaxRejects == 0 {
			_ = q.sp.PruneRejects() // the next reject tries again
		}
		return q.rejectLine(l, which)
	})
	if h.ledger.Rejected > before {
		_ = q.sp.PruneRejects()
	}
	return err
}

// rejectLine copies a line, or what was read of it, to a file whose name depends
// on the line alone: if a kill comes before the line leaves the queue, the next
// copy replaces this one.
func (q *Queue) rejectLine(l *line, which string) error {
	sum := sha256.Sum256(l.text)
	name := fmt.Sprintf("line-%d-%x", l.number, sum[:8])
	err := q.giveReason(name, which+": "+l.err.Error())
	if err == nil {
		err = q.sp.Rejected.WriteFile(name, l.text, q.sp.Tmp, false)
	}
	return err
}
