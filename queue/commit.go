package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"spoolagent/spoolfiles"
)

// change is what a transaction is to do.
type change struct {
	record
	body func(io.Writer) error // writes the lines to append; nil: none. It may be called twice.
}

// errInexact says that this system, or this file system, cannot copy exactly.
var errInexact = errors.New("no exact copies")

// commit carries out a change, all or nothing. After an error it has either not
// happened, or h is unfinished and the next acquire recovers it.
func (q *Queue) commit(h *held, c change) error {
	err := q.tryCommit(h, c)
	if errors.Is(err, errInexact) && !q.plain && !h.unfinished {
		q.plain = true
		err = q.tryCommit(h, c)
	}
	if err != nil {
		*q.shape = Shape{}
		return fmt.Errorf("changing queue %s: %w", q.path(FileName), err)
	}
	return nil
}

func (q *Queue) tryCommit(h *held, c change) error {
	r := &c.record
	r.Seq, r.Boot, r.Exact, r.Inode, r.state = 1, bootID(), !q.plain, h.info.Ino, pending
	if h.last != nil {
		r.Seq = h.last.Seq + 1
	}
	f, err := q.openRecord(r.Seq)
	if err != nil {
		return err
	}
	defer f.Close()
	q.next("record", 0)
	cells, unmap, err := q.writeRecord(h, f, &c)
	if err != nil {
		return err
	}
	defer unmap()
	q.next("begin", 0)
	if err := q.apply(h, f, r, cells); err != nil {
		if h.unfinished = begun(cells); !h.unfinished {
			err = errors.Join(err, r.setState(f, void))
		}
		return err
	}
	return q.finish(h, f, r)
}

// writeRecord brings a record to its file. The header comes last: until it is
// there, the newest record is the one in the other file.
func (q *Queue) writeRecord(h *held, f *os.File, c *change) (cells []cell, unmap func(), err error) {
	r := &c.record
	cells, err = r.writeParts(f, h.f, c.body)
	if err != nil {
		return nil, nil, fmt.Errorf("writing record: %w", err)
	}
	if err := reserve(h.f, h.info.Size, r.Body); err != nil {
		return nil, nil, err
	}
	unmap = func() {}
	if r.Exact {
		if cells, unmap, err = mapCells(f, r.cellsAt(), r.cells()); err != nil {
			return nil, nil, err
		}
	}
	header, err := r.encode()
	if err == nil {
		_, err = f.WriteAt(header, 0)
	}
	// Of the lines that these transactions overwrite, or append, the record is
	// the only place, or says where they are. The drops of a fold are in work,
	// and evicted lines nobody needs.
	only := r.Verb == drainVerb || r.Verb == returnVerb || r.Verb == compactVerb
	if err == nil && q.opt.Fsync && only {
		err = datasync(f)
	}
	if err != nil {
		unmap()
		return nil, nil, fmt.Errorf("writing record: %w", err)
	}
	return cells, unmap, nil
}

func begun(cells []cell) bool {
	for _, c := range cells {
		if c.Cursor > c.From {
			return true
		}
	}
	return false
}

// apply makes the copies that are not complete yet.
func (q *Queue) apply(h *held, f *os.File, r *record, cells []cell) error {
	for i := range cells {
		c := &cells[i]
		if i == r.Blanks {
			if err := q.trim(h, r); err != nil {
				return err
			}
		}
		if i >= r.Blanks && c.Cursor == c.From {
			var err error
			if c.At, err = appendAt(h.f); err != nil {
				return err
			}
		}
		step := advancePlain
		if r.Exact {
			step = advance
		}
		for c.Cursor < c.End {
			if err := step(h.f, f, c, q.next("copy", c.End-c.Cursor)); err != nil {
				return err
			}
		}
	}
	if r.Pieces == 0 {
		return q.trim(h, r)
	}
	return nil
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

// trim empties a queue of which only blanks are left. Nobody misses them, so
// that needs no evidence.
func (q *Queue) trim(h *held, r *record) error {
	fi, err := h.f.Stat()
	if err != nil || r.From == r.To || fi.Size() > r.To+1 {
		return err
	}
	blank, err := isBlank(h.f, 0, fi.Size())
	if err != nil || !blank {
		return err
	}
	q.next("trim", 0)
	return h.f.Truncate(0)
}

// isBlank reports whether the queue has blanks, and nothing else, from one offset
// to another.
func isBlank(f io.ReaderAt, from, to int64) (bool, error) {
	n, err := io.Copy(blanks{}, io.NewSectionReader(f, from, to-from))
	if errors.Is(err, errNoBlank) {
		return false, nil
	}
	return n == to-from, err
}

// blanks takes nothing but blanks.
type blanks struct{}

var errNoBlank = errors.New("not a blank")

func (blanks) Write(p []byte) (int, error) {
	if len(bytes.Trim(p, " \n")) > 0 {
		return 0, errNoBlank
	}
	return len(p), nil
}

// finish does what comes after the copies. It may be done again.
func (q *Queue) finish(h *held, f *os.File, r *record) (err error) {
	h.unfinished = true
	if q.opt.Fsync && r.Pieces > 0 {
		q.next("sync queue", 0)
		if err := datasync(h.f); err != nil {
			return fmt.Errorf("syncing queue: %w", err)
		}
	}
	switch r.Verb {
	case foldVerb, evictVerb:
		err = q.emptyWork()
	case drainVerb:
		err = q.publish(r.ID)
	case returnVerb:
		err = gone(q.sp.Control.Remove(r.ID + spoolfiles.ReturningSuffix))
	}
	if err != nil {
		return err
	}
	q.next("done", 0)
	if err := r.setState(f, done); err != nil {
		return err
	}
	if r.cellsAt() > keepRecord {
		if err := f.Truncate(headerSize); err != nil {
			return fmt.Errorf("shortening record: %w", err)
		}
	}
	h.unfinished, h.last, h.ledger = false, r, r.Ledger
	return q.refresh(h)
}

// publish makes a reply visible, and removes its request. The consumer may go
// on as soon as the request is gone. Afterwards, control is synced: as long as
// this record is the newest, it says that the reply may be in tmp still.
func (q *Queue) publish(id string) error {
	q.next("publish", 0)
	reply := id + spoolfiles.ReplySuffix
	if err := gone(q.sp.Tmp.Rename(replyName(id), q.sp.Control, reply)); err != nil {
		return fmt.Errorf("publishing reply: %w", err)
	}
	q.next("published", 0)
	if err := q.removeRequest(id); err != nil {
		return err
	}
	if q.opt.Fsync {
		if err := q.sp.Control.Sync(); err != nil {
			return fmt.Errorf("syncing replies: %w", err)
		}
	}
	return nil
}

// gone takes it as done when what was to be moved or removed is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
