package queue

import (
	"bytes"
	"crypto/sha256"
	"errors"
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

	ours func([]byte) bool // which malformed lines are pieces of ours, not to be rejected; nil: none
}

// compact rewrites the queue without its blanks and malformed lines. It returns
// what the queue has then.
func (q *Queue) compact(h *held, res *FoldResult) (content, error) {
	c, err := q.rewrite(h, rewriting{verb: compactVerb}, res)
	if err != nil {
		return content{}, fmt.Errorf("compacting: %w", err)
	}
	return c, nil
}

func (q *Queue) rewrite(h *held, w rewriting, res *FoldResult) (content, error) {
	l, c, err := q.account(h)
	if err != nil {
		return content{}, err
	}
	rejected, err := q.rejectLines(h.f, h.info.Size, FileName, w.ours, res)
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
	var keep func(*line) bool
	if w.keep != nil {
		keep = w.keep()
	}
	return copySignals(out, io.NewSectionReader(h.f, 0, h.info.Size), keep)
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

// rejectLines copies malformed lines to rejected. It returns how many there were.
func (q *Queue) rejectLines(f io.ReaderAt, size int64, where string, ours func([]byte) bool, res *FoldResult) (n int64, err error) {
	err = scan(io.NewSectionReader(f, 0, size), func(l *line) error {
		if l.err == nil || l.err == signal.ErrBlank || ours != nil && ours(l.text) {
			return nil
		}
		which := fmt.Sprintf("line %d of %s", l.number, where)
		res.reject(which, l.err.Error())
		if n++; n%spoolfiles.MaxRejects == 0 {
			_ = q.sp.PruneRejects() // the next reject tries again
		}
		return q.rejectLine(io.NewSectionReader(f, l.off, l.len), l.number, which+": "+l.err.Error())
	})
	if err != nil {
		return n, fmt.Errorf("rejecting malformed lines: %w", err)
	}
	if n > 0 {
		_ = q.sp.PruneRejects()
	}
	return n, nil
}

// rejectLine copies a line to a file whose name depends on the line alone: if a
// kill comes before the line leaves the queue, the next copy replaces this one.
func (q *Queue) rejectLine(text *io.SectionReader, number int, reason string) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, text); err != nil {
		return err
	}
	name, tmp := fmt.Sprintf("line-%d-%x", number, sum.Sum(nil)[:8]), spoolfiles.NewID()
	f, err := q.sp.Tmp.Create(tmp)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(text, 0, text.Size()))
	if err = errors.Join(err, f.Close()); err == nil {
		err = q.giveReason(name, reason)
	}
	if err == nil {
		err = q.sp.Tmp.Rename(tmp, q.sp.Rejected, name)
	}
	if err != nil {
		return errors.Join(err, gone(q.sp.Tmp.Remove(tmp)))
	}
	return nil
}

// lineCounter counts the lines that are written to it.
type lineCounter struct{ size, lines int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	c.lines += int64(bytes.Count(p, []byte{'\n'}))
	return len(p), nil
}
