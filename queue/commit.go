package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"spoolagent/spoolfiles"
)

// transaction is a change of the queue under way.
type transaction struct {
	*record
	f     *os.File // has the record
	cells []cell
	unmap func() // nil if the cells are not mapped
}

func (t *transaction) close() {
	if t.unmap != nil {
		t.unmap()
	}
	t.f.Close()
}

func begun(cells []cell) bool {
	return slices.ContainsFunc(cells, func(c cell) bool { return c.Cursor > c.From })
}

// errInexact says that this system, or this file system, cannot copy exactly.
var errInexact = errors.New("no exact copies")

// commit carries out the change that r describes, all or nothing. After an
// error it has either not happened, or h is unfinished and the next holder of
// the lock recovers it. body writes the lines to append; nil: none. It may be
// called twice.
func (q *Queue) commit(h *held, r *record, body func(*pieceWriter) error) error {
	err := q.tryCommit(h, r, body)
	if errors.Is(err, errInexact) && !q.plain && !h.unfinished {
		q.plain = true
		err = q.tryCommit(h, r, body)
	}
	if err != nil {
		*q.shape = Shape{}
		return fmt.Errorf("changing queue %s: %w", q.path(FileName), err)
	}
	return nil
}

func (q *Queue) tryCommit(h *held, r *record, body func(*pieceWriter) error) error {
	r.Seq, r.Boot, r.Exact, r.Inode, r.state = 1, bootID(), !q.plain, h.info.Ino, pending
	if h.last != nil {
		r.Seq, r.Before = h.last.Seq+1, h.last.Ledger
	}
	f, err := q.openRecord(r.Seq)
	if err != nil {
		return err
	}
	t := &transaction{record: r, f: f}
	defer t.close()
	q.next("record", 0)
	if err := q.writeRecord(h, t, body); err != nil {
		// On a full disk a shorter record may find room.
		return fmt.Errorf("writing record: %w", errors.Join(err, f.Truncate(headerSize)))
	}
	q.next("begin", 0)
	return q.complete(h, t)
}

// writeRecord brings a record to its file. The header comes last: until it is
// there, the newest record is the one in the other file.
func (q *Queue) writeRecord(h *held, t *transaction, body func(*pieceWriter) error) error {
	err := t.writeParts(h.f, body)
	if err == nil {
		err = reserve(h.f, h.info.Size, t.Body)
	}
	if err == nil && t.Exact {
		err = t.mapCells()
	}
	if err != nil {
		return err
	}
	header, err := t.encode()
	if err == nil {
		_, err = t.f.WriteAt(header, 0)
	}
	// Of the lines that these transactions overwrite, or append, the record is
	// the only place, or says where they are. The drops of a fold are in work,
	// and evicted lines nobody needs.
	only := t.Verb == drainVerb || t.Verb == returnVerb || t.Verb == compactVerb
	if err == nil && q.opt.Fsync && only {
		err = datasync(t.f)
	}
	return err
}

// complete makes the copies that are left, and does what comes after them.
func (q *Queue) complete(h *held, t *transaction) error {
	if err := q.copyCells(h, t); err != nil {
		if h.unfinished = begun(t.cells); !h.unfinished {
			err = errors.Join(err, t.setState(void))
		}
		return err
	}
	return q.finish(h, t)
}

// copyCells makes the copies that are not complete yet.
func (q *Queue) copyCells(h *held, t *transaction) error {
	step := advancePlain
	if t.Exact {
		step = advance
	}
	for i := 0; ; i++ {
		if i == t.Blanks && t.Pieces > 0 {
			q.trim(h, t)
		}
		if i == len(t.cells) {
			return nil
		}
		c := &t.cells[i]
		if i >= t.Blanks && c.Cursor == c.From {
			at, err := appendAt(h.f)
			if err == nil {
				room := blanks(at, c.End-c.From)
				room[len(room)-1] = '\n'
				_, err = h.f.WriteAt(room, at)
			}
			if err != nil {
				return err
			}
			c.At = at
		}
		for c.Cursor < c.End {
			if err := step(h.f, t.f, c, q.next("copy", c.End-c.Cursor)); err != nil {
				return err
			}
		}
	}
}

// appendAt returns where the next line begins. If a stranger has left a line
// without its end, that line ends first.
func appendAt(f *os.File) (int64, error) {
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 {
		return 0, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], fi.Size()-1); err != nil || last[0] == '\n' {
		return fi.Size(), err
	}
	_, err = f.WriteAt([]byte{'\n'}, fi.Size())
	return fi.Size() + 1, err
}

// advancePlain is advance where the kernel moves no cursors.
func advancePlain(queue, record *os.File, c *cell, n int64) error {
	buf := make([]byte, min(n, maxPiece))
	m, err := record.ReadAt(buf, c.Cursor)
	if m == 0 && err != nil {
		return err
	}
	m, err = queue.WriteAt(buf[:m], c.At+c.Cursor-c.From)
	c.Cursor += int64(m)
	return err
}

// trim empties a queue of which only blanks are left. Nobody misses them, so that
// needs no evidence, and they do no harm, so that it need not succeed.
func (q *Queue) trim(h *held, t *transaction) {
	if t.From == t.To || t.Verb == evictVerb {
		return
	}
	blank, err := isBlank(h.f, 0, t.To+1)
	q.next("trim", 0)
	// The size comes last: a program that takes no lock may append at any moment.
	if fi, serr := h.f.Stat(); blank && err == nil && serr == nil && fi.Size() <= t.To+1 {
		_ = h.f.Truncate(0)
	}
}

// isBlank reports whether the queue has nothing but blanks from one offset to
// another.
func isBlank(f io.ReaderAt, from, to int64) (bool, error) {
	c, err := contentOf(io.NewSectionReader(f, from, to-from), to-from)
	return err == nil && c.count+c.bad == 0, err
}

// finish does what comes after the copies. It may be done again.
func (q *Queue) finish(h *held, t *transaction) (err error) {
	h.unfinished = true
	if t.Pieces > 0 {
		q.next("sync queue", 0)
		if err := q.syncQueue(h); err != nil {
			return err
		}
	}
	switch t.Verb {
	case foldVerb:
		err = q.emptyWork()
	case drainVerb:
		err = q.publish(t.ID)
	case returnVerb:
		err = gone(q.sp.Control.Remove(t.ID + spoolfiles.ReturningSuffix))
	}
	if err != nil {
		return err
	}
	q.next("done", 0)
	if err := t.setState(done); err != nil {
		return err
	}
	if t.cellsAt() > keepRecord {
		_ = t.f.Truncate(headerSize) // it is through, whatever its size
	}
	if t.Pieces == 0 {
		q.trim(h, t) // last, when nobody waits any more: it is the slowest call of a drain
	}
	h.unfinished, h.last, h.ledger = false, t.record, t.Ledger
	return q.refresh(h)
}

// syncQueue brings the queue to the disk, where that is wished.
func (q *Queue) syncQueue(h *held) error {
	if !q.opt.Fsync {
		return nil
	}
	return datasync(h.f)
}

// publish makes a reply visible, and removes its request. The consumer may go
// on as soon as the request is gone. Afterwards, control is synced: as long as
// this record is the newest, it says that the reply may be in tmp still.
func (q *Queue) publish(id string) error {
	q.next("publish", 0)
	reply := id + spoolfiles.ReplySuffix
	err := gone(q.sp.Tmp.Rename(replyName(id), q.sp.Control, reply))
	if err == nil {
		q.next("published", 0)
		err = q.removeRequest(id)
	}
	if err == nil && q.opt.Fsync {
		err = q.sp.Control.Sync()
	}
	return err
}

// gone takes it as done when what was to be moved or removed is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// exists reports whether a directory has an entry of this name.
func exists(dir *spoolfiles.Dir, name string) (bool, error) {
	_, err := dir.Lstat(name)
	return err == nil, gone(err)
}
