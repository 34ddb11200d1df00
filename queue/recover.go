package queue

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// interrupted reports whether the next holder of the lock has something to recover. It
// takes no lock, so a transaction that is under way counts as interrupted.
func (q *Queue) interrupted() (bool, error) {
	last, err := q.newest()
	if err != nil || last != nil && (last.state == pending || last.rebooted()) {
		return true, err
	}
	return q.legacyLeft(last)
}

// recover completes or undoes the transaction that a crash has interrupted.
func (q *Queue) recover(h *held) error {
	if err := q.readRecords(h); err != nil {
		return err
	}
	legacy, err := q.legacyLeft(h.last)
	if err != nil {
		return err
	}
	work, err := q.sp.Work.List()
	if err != nil {
		return fmt.Errorf("listing work: %w", err)
	}
	cut := h.last != nil && h.last.state == pending
	switch {
	case legacy || h.last != nil && (h.last.rebooted() || cut && (q.plain || !h.last.proves()) || bootID() == unknownBoot && len(work) > 0):
		err = q.reconcile(h)
	case cut:
		// If the recovery of another one never began, that one comes next.
		for err == nil && h.last != nil && h.last.state == pending {
			err = q.resume(h)
		}
	case len(work) == 0:
		return nil
	}
	if err == nil {
		err = q.clearWork()
	}
	if err == nil {
		err = q.refresh(h)
	}
	*q.shape = Shape{}
	return err
}

// rebooted reports whether the record is known to be from before a reboot.
func (r *record) rebooted() bool { return r.Boot != bootID() && bootID() != unknownBoot }

// proves reports whether the cells of an unfinished record are evidence.
func (r *record) proves() bool { return r.Exact && r.Boot == bootID() && r.Boot != unknownBoot }

// resume recovers a transaction whose evidence is exact.
func (q *Queue) resume(h *held) error {
	f, err := q.sp.Root.OpenFile(recordName(h.last.Seq), os.O_RDWR)
	if err != nil {
		return fmt.Errorf("opening record: %w", err)
	}
	t := &transaction{record: h.last, f: f}
	defer t.close()
	if t.mapCells() != nil || !t.possible() {
		return q.reconcile(h)
	}
	if len(t.cells) > 0 && !begun(t.cells) {
		return q.undo(h, t)
	}
	i := slices.IndexFunc(t.cells, func(c cell) bool { return c.Cursor < c.End })
	switch {
	case i < 0:
	case i < t.Blanks:
		return q.resumeBlanks(h, t, &t.cells[i])
	case t.cells[i].Cursor > t.cells[i].From:
		return q.resumePiece(h, t, &t.cells[i])
	}
	return q.complete(h, t)
}

// undo is for a transaction that never began.
func (q *Queue) undo(h *held, t *transaction) error {
	err := t.setState(void)
	if err == nil && t.Verb == drainVerb {
		err = gone(q.sp.Tmp.Remove(replyName(t.ID)))
	}
	return errors.Join(err, q.readRecords(h))
}

// resumeBlanks goes on where the overwriting was cut, if nobody else has changed
// the queue since.
func (q *Queue) resumeBlanks(h *held, t *transaction, c *cell) error {
	at := c.At + c.Cursor - c.From
	old := io.NewSectionReader(t.f, t.oldAt(), t.old())
	blank, err := isBlank(h.f, t.From, at)
	same, serr := sameBytes(h.f, at, old, at-t.From, t.To-at)
	if err := errors.Join(err, serr); err != nil {
		return err
	}
	if blank && same && h.info.Ino == t.Inode {
		return q.complete(h, t)
	}

	// Others were here. Lines whose first byte was overwritten nobody else can
	// have taken; the rest was theirs to take, or is still in the queue.
	rest, mine := int64(0), int64(0)
	var piece []byte
	err = scan(io.NewSectionReader(old, 0, t.To-t.From), func(l *line) error {
		off := t.From + l.off
		if off >= at {
			return errEnough
		}
		rest = l.off + l.len
		if l.err == nil {
			mine++
		}
		if off+l.len > at {
			piece = bytes.Clone(l.text[min(at-off, int64(len(l.text))):])
		}
		return nil
	})
	if err != nil {
		return err
	}
	if t.Verb == evictVerb {
		l := t.Ledger
		l.Evicted -= t.Signals - mine
		l.balance(t.Ledger.Queued + t.Signals - mine)
		return q.commit(h, &record{Verb: evictVerb, Ledger: l}, nil)
	}
	w := rewriting{
		verb: t.Verb, id: t.ID,
		ours: func(text []byte) bool { return bytes.Equal(bytes.TrimLeft(text, " "), piece) },
		lead: func(to io.Writer) error {
			if _, err := io.Copy(to, io.NewSectionReader(t.f, t.bodyAt(), t.Lead)); err != nil {
				return err
			}
			return copySignals(to, io.NewSectionReader(old, 0, rest), nil)
		},
	}
	h.ledger = t.Ledger
	if t.Verb == drainVerb {
		// The request stays, and is answered afresh.
		w.verb, w.id = compactVerb, ""
		h.ledger = t.Before
	}
	if err := q.syncQueue(h); err != nil {
		return err
	}
	if err := q.rewrite(h, w, new(Result)); err != nil {
		return err
	}
	if t.Verb == drainVerb {
		return gone(q.sp.Tmp.Remove(replyName(t.ID)))
	}
	return nil
}

// resumePiece goes on where the appending of a piece was cut, if its place in the
// queue is still what it was: what came so far, and blanks.
func (q *Queue) resumePiece(h *held, t *transaction, c *cell) error {
	n, size := c.Cursor-c.From, c.End-c.From
	place := make([]byte, size)
	copied := make([]byte, n+1)
	_, err := h.f.ReadAt(place, c.At)
	if err != nil && err != io.EOF {
		return fmt.Errorf("reading queue: %w", err)
	}
	if _, err := t.f.ReadAt(copied, c.From); err != nil {
		return fmt.Errorf("reading record: %w", err)
	}
	if err == nil && bytes.Equal(place[:n], copied[:n]) && len(bytes.Trim(place[n:], " \n")) == 0 {
		return q.complete(h, t)
	}

	// Others were here. The lines before the one that was cut are in the queue, or
	// were theirs to take. What may be left of that one is malformed.
	begin := int64(bytes.LastIndexByte(copied[:n], '\n') + 1)
	if begin < n && copied[n] == '\n' { // it lacked only its line feed, so it was whole, and taken
		begin = n + 1
	}
	return q.commitRest(h, t, c.From+begin)
}

// commitRest replaces an interrupted transaction by one that appends its body
// from an offset of its file on.
func (q *Queue) commitRest(h *held, t *transaction, from int64) error {
	if err := q.syncQueue(h); err != nil { // of what was appended before, no record tells any more
		return err
	}
	r := &record{Verb: t.Verb, ID: t.ID, Ledger: t.Ledger, Signals: t.Signals}
	return q.commit(h, r, func(w *pieceWriter) error {
		_, err := io.Copy(w, io.NewSectionReader(t.f, from, t.patternAt()-from))
		return err
	})
}

// sameBytes reports whether n bytes of a at one offset are those of b at another.
// What lies beyond the end of a file is different.
func sameBytes(a io.ReaderAt, aAt int64, b io.ReaderAt, bAt, n int64) (bool, error) {
	var sums [2][sha256.Size]byte
	for i, part := range []*io.SectionReader{io.NewSectionReader(a, aAt, n), io.NewSectionReader(b, bAt, n)} {
		sum := sha256.New()
		m, err := io.Copy(sum, part)
		if err != nil || m < n {
			return false, err
		}
		sum.Sum(sums[i][:0])
	}
	return sums[0] == sums[1], nil
}
