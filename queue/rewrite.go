package queue

import (
	"bytes"
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
	lead func(io.Writer) error // writes lines; nil: none. It is called several times.

	// keep begins a pass over the queue and returns a function that tells which
	// of its signals stay; nil: all.
	keep func() func(*line) bool

	where string            // names the queue in the reasons of malformed lines
	ours  func([]byte) bool // which malformed lines are pieces of ours, not to be rejected; nil: none

	// ledger changes the totals, of which Queued is as before; lead and kept
	// are how many signals the queue will have.
	ledger func(l *Ledger, lead, kept int64)
}

// compact rewrites the queue without its blanks and malformed lines. It returns
// what the queue has then.
func (q *Queue) compact(h *held, res *FoldResult) (content, error) {
	c, err := q.rewrite(h, rewriting{verb: compactVerb, where: FileName}, res)
	if err != nil {
		return content{}, fmt.Errorf("compacting: %w", err)
	}
	return c, nil
}

// tidy compacts a queue that has malformed lines.
func (q *Queue) tidy(h *held, res *FoldResult) error {
	c, err := q.inspect(h)
	if err == nil && c.bad > 0 {
		_, err = q.compact(h, res)
	}
	return err
}

func (q *Queue) rewrite(h *held, w rewriting, res *FoldResult) (content, error) {
	l, c, err := q.account(h)
	if err != nil {
		return content{}, err
	}
	rejected, err := q.rejectLines(h.f, h.info.Size, w.where, w.ours, res)
	if err != nil {
		return content{}, err
	}
	l.Rejected += rejected
	var lead, kept lineCounter
	if w.lead != nil {
		err = w.lead(&lead)
	}
	if err == nil {
		err = w.writeKept(h, &kept)
	}
	if err != nil {
		return content{}, err
	}
	if w.ledger != nil {
		w.ledger(&l, lead.lines, kept.lines)
	}
	l.close(lead.lines + kept.lines)
	r := record{Verb: w.verb, ID: w.id, To: h.info.Size, Signals: c.count, Lead: lead.size, Ledger: l}
	if r.To > 0 && !c.torn {
		r.To-- // the last line feed may stay: it ends the blanks
	}
	err = q.commit(h, change{record: r, body: func(out io.Writer) error {
		if w.lead != nil {
			if err := w.lead(out); err != nil {
				return err
			}
		}
		return w.writeKept(h, out)
	}})
	if err != nil {
		return content{}, err
	}
	after := content{count: l.Queued, canonical: true}
	q.remember(h, after, lead.size+kept.size)
	return after, nil
}

// writeKept writes the lines of the queue that stay.
func (w *rewriting) writeKept(h *held, out io.Writer) error {
	keep := func(*line) bool { return true }
	if w.keep != nil {
		keep = w.keep()
	}
	return copySignals(out, io.NewSectionReader(h.f, 0, h.info.Size), keep)
}

// copySignals copies the signals among some lines, in canonical form.
func copySignals(to io.Writer, from io.Reader, keep func(*line) bool) error {
	var text []byte
	return scan(from, func(l *line) error {
		if l.err != nil || !keep(l) {
			return nil
		}
		text = l.canonical(text[:0])
		_, err := to.Write(text)
		return err
	})
}

// rejectLines brings copies of malformed lines to work: the last ones, as many
// as rejected keeps. It returns how many there were.
func (q *Queue) rejectLines(f io.ReaderAt, size int64, where string, ours func([]byte) bool, res *FoldResult) (n int64, err error) {
	each := func(fn func(l *line, name string) error) error {
		return scan(io.NewSectionReader(f, 0, size), func(l *line) error {
			if l.err == nil || l.err == signal.ErrBlank || ours != nil && ours(l.text) {
				return nil
			}
			return fn(l, fmt.Sprintf("line %d of %s", l.number, where))
		})
	}
	err = each(func(l *line, name string) error {
		n++
		res.reject(name, l.err.Error())
		return nil
	})
	if err != nil || n == 0 {
		return n, err
	}
	skip := n - spoolfiles.MaxRejects
	return n, each(func(l *line, name string) error {
		if skip--; skip >= 0 {
			return nil
		}
		return q.rejectPart(f, l.off, l.len, name+": "+l.err.Error())
	})
}

// lineCounter counts the lines that are written to it.
type lineCounter struct{ size, lines int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	c.lines += int64(bytes.Count(p, []byte{'\n'}))
	return len(p), nil
}
