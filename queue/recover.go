package queue

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"spoolagent/spoolfiles/signal"
)

// interrupted reports whether the next acquire has something to recover. It
// takes no lock, so a transaction that is under way counts as interrupted.
func (q *Queue) interrupted() (bool, error) {
	last, err := q.newest()
	if err != nil || last != nil && (last.state == pending || last.rebooted()) {
		return true, err
	}
	return q.legacyLeft(last)
}

// recover completes or undoes the transaction that a crash has interrupted. It
// reports whether there was one.
func (q *Queue) recover(h *held) (bool, error) {
	if err := q.readRecords(h); err != nil {
		return false, err
	}
	legacy, err := q.legacyLeft(h.last)
	if err != nil {
		return false, err
	}
	work, err := q.sp.Work.List()
	if err != nil {
		return false, fmt.Errorf("listing work: %w", err)
	}
	cut := h.last != nil && h.last.state == pending
	switch {
	case legacy || h.last != nil && (h.last.rebooted() || cut && (q.plain || !h.last.proves()) || bootID() == unknownBoot && len(work) > 0):
		err = q.reconcile(h, legacy)
	case cut:
		// If the recovery of another one never began, that one comes next.
		for err == nil && h.last != nil && h.last.state == pending {
			err = q.resume(h)
		}
	case len(work) == 0:
		return false, nil
	}
	if err == nil {
		err = q.clearWork()
	}
	if err == nil {
		err = q.refresh(h)
	}
	*q.shape = Shape{}
	return true, err
}

// rebooted reports whether the record is known to be from before a reboot.
func (r *record) rebooted() bool { return r.Boot != bootID() && bootID() != unknownBoot }

// proves reports whether the cells of an unfinished record are evidence.
func (r *record) proves() bool { return r.Exact && r.Boot == bootID() && r.Boot != unknownBoot }

// cutRecord is the record of an interrupted transaction, with its evidence.
type cutRecord struct {
	*record
	f     *os.File
	cells []cell
}

// resume recovers a transaction whose evidence is exact.
func (q *Queue) resume(h *held) error {
	f, err := q.sp.Root.OpenFile(recordName(h.last.Seq), os.O_RDWR)
	if err != nil {
		return fmt.Errorf("opening record: %w", err)
	}
	defer f.Close()
	t := cutRecord{record: h.last, f: f}
	var unmap func()
	if t.cells, unmap, err = mapCells(f, t.cellsAt(), t.record.cells()); err == nil {
		defer unmap()
	}
	if err != nil || !t.possible(t.cells) {
		return q.reconcile(h, false)
	}
	if len(t.cells) > 0 && !begun(t.cells) {
		return q.undo(h, t)
	}
	// Nobody but a kill in the middle of writing it can have spoiled the
	// pattern; it costs nothing to write it again.
	if _, err := f.WriteAt(t.pattern(), t.patternAt()); err != nil {
		return fmt.Errorf("writing record: %w", err)
	}
	for i := range t.cells {
		c := &t.cells[i]
		if c.Cursor == c.End {
			continue
		}
		if i < t.Blanks {
			return q.resumeBlanks(h, t, c.At+c.Cursor-c.From)
		}
		if c.Cursor > c.From {
			return q.resumePiece(h, t, c)
		}
		break
	}
	return q.complete(h, t)
}

// complete makes the copies that are left.
func (q *Queue) complete(h *held, t cutRecord) error {
	if err := q.apply(h, t.f, t.record, t.cells); err != nil {
		return err
	}
	return q.finish(h, t.f, t.record)
}

// undo is for a transaction that never began.
func (q *Queue) undo(h *held, t cutRecord) error {
	if err := t.setState(t.f, void); err != nil {
		return err
	}
	if t.Verb == drainVerb {
		if err := gone(q.sp.Tmp.Remove(replyName(t.ID))); err != nil {
			return fmt.Errorf("removing an unfinished reply: %w", err)
		}
	}
	return q.readRecords(h)
}

// resumeBlanks goes on where the overwriting was cut, at the offset at, if
// nobody else has changed the queue since.
func (q *Queue) resumeBlanks(h *held, t cutRecord, at int64) error {
	var old io.ReaderAt = io.NewSectionReader(t.f, t.oldAt(), t.Old)
	if t.Verb == drainVerb {
		reply, err := q.sp.Tmp.OpenFile(replyName(t.ID), os.O_RDONLY)
		if err != nil {
			return fmt.Errorf("reading an unfinished reply: %w", err)
		}
		defer reply.Close()
		old = reply
	}
	intact := h.info.Ino == t.Inode && h.info.Size >= t.To
	if intact {
		blank, err := isBlank(h.f, t.From, at)
		if err != nil {
			return err
		}
		same, err := sameBytes(h.f, at, old, at-t.From, t.To-at)
		if err != nil {
			return err
		}
		intact = blank && same
	}
	if intact {
		return q.complete(h, t)
	}

	// Others were here. Lines whose first byte was overwritten nobody else can
	// have taken; the rest was theirs to take, or is still in the queue.
	rest, mine := int64(0), int64(0)
	var piece []byte
	err := scan(io.NewSectionReader(old, 0, t.To-t.From), func(l *line) error {
		if off := t.From + l.off; off < at {
			rest = l.off + l.len
			if l.err == nil {
				mine++
			}
			if end := off + l.len; end > at {
				piece = bytes.Clone(l.text[min(at-off, int64(len(l.text))):])
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case t.Torn:
		return q.commitRest(h, t, t.bodyAt(), record{})
	case t.Verb == evictVerb:
		l := t.Ledger
		l.Evicted -= t.Signals - mine
		l.close(t.Ledger.Queued + t.Signals - mine)
		return q.commit(h, change{record: record{Verb: evictVerb, Ledger: l}})
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
		w.verb, w.id = returnVerb, ""
		h.ledger.Drained -= t.Signals
	}
	if _, err := q.rewrite(h, w, new(FoldResult)); err != nil {
		return err
	}
	if t.Verb == drainVerb {
		return gone(q.sp.Tmp.Remove(replyName(t.ID)))
	}
	return nil
}

// resumePiece goes on where the appending of a piece was cut, if it is still the
// end of the queue.
func (q *Queue) resumePiece(h *held, t cutRecord, c *cell) error {
	n := c.Cursor - c.From
	same, err := sameBytes(h.f, c.At, t.f, c.From, n)
	if err != nil {
		return err
	}
	same = same && h.info.Ino == t.Inode
	if same && h.info.Size == c.At+n {
		return q.complete(h, t)
	}

	// Others were here. The lines before the one that was cut are in the queue,
	// or were theirs to take. What is there of that one is overwritten, which
	// also sets free a line that somebody has appended to it.
	written := make([]byte, n+1)
	if m, err := t.f.ReadAt(written, c.From); int64(m) <= n {
		return fmt.Errorf("reading record: %w", err)
	}
	next := written[n]
	written = written[:n]
	begin := int64(bytes.LastIndexByte(written, '\n') + 1)
	torn := written[begin:]
	at := c.At + begin
	if len(torn) == 0 {
		return q.commitRest(h, t, c.Cursor, record{})
	}
	there, err := q.tornAt(h, at, torn)
	switch {
	case err != nil:
		return err
	case there:
		return q.commitRest(h, t, c.From+begin, record{From: at, To: at + int64(len(torn)), Torn: true})
	case next == '\n': // it lacked only its line feed, so it was whole, and taken
		return q.commitRest(h, t, c.Cursor+1, record{})
	}
	return q.commitRest(h, t, c.From+begin, record{})
}

// tornAt reports whether the beginning of a line stands at this offset. All
// lines begin alike, so a line that is a signal is somebody else's.
func (q *Queue) tornAt(h *held, at int64, torn []byte) (bool, error) {
	same, err := sameBytes(h.f, at, bytes.NewReader(torn), 0, int64(len(torn)))
	if err != nil || !same {
		return false, err
	}
	if at > 0 {
		var before [1]byte
		if _, err := h.f.ReadAt(before[:], at-1); err != nil || before[0] != '\n' {
			return false, err
		}
	}
	malformed := false
	err = scan(io.NewSectionReader(h.f, at, h.info.Size-at), func(l *line) error {
		malformed = l.err != nil && l.err != signal.ErrBlank
		return errEnough
	})
	return malformed, err
}

// commitRest replaces an interrupted transaction by one that appends its body
// from an offset of its file on. r says what is overwritten before.
func (q *Queue) commitRest(h *held, t cutRecord, from int64, r record) error {
	r.Verb, r.ID, r.Ledger, r.Signals = t.Verb, t.ID, t.Ledger, t.Signals
	if r.Verb == drainVerb || r.Verb == evictVerb {
		return fmt.Errorf("record %d: %s has no body", t.Seq, t.Verb)
	}
	return q.commit(h, change{record: r, body: func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(t.f, from, t.patternAt()-from))
		return err
	}})
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
