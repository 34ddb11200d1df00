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

// maxRedoSize bounds what is written and read of a record. A capped queue stays
// far below; only a huge uncapped one can come near.
const maxRedoSize = 1 << 30

// pending reports whether a transaction waits to be finished.
func (q *Queue) pending() bool {
	info, err := q.sp.Root.Lstat(redoName)
	return err == nil && info.Size > 0
}

// recover finishes, or forgets, the transaction that a crash has left. It
// reports whether there was one.
func (q *Queue) recover(h *held) (bool, error) {
	if !q.pending() {
		return false, nil
	}
	data, _, err := q.sp.Root.ReadFile(redoName, maxRedoSize)
	var unfit *spoolfiles.UnfitError
	var owner *spoolfiles.OwnerError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.As(err, &unfit), errors.As(err, &owner):
		return true, q.setAside(redoName, err.Error())
	case err != nil:
		// A link, a FIFO: not what we left, and nothing to be finished.
		if info, lerr := q.sp.Root.Lstat(redoName); lerr == nil && !info.Mode.IsRegular() {
			return true, q.setAside(redoName, err.Error())
		}
		return true, fmt.Errorf("reading redo record: %w", err)
	}
	r, err := decodeRedo(data)
	if err != nil && !errors.Is(err, errTorn) {
		// It may have been the only place of something.
		return true, q.setAside(redoName, err.Error())
	}
	redo, oerr := q.openRedo()
	if oerr != nil {
		return true, oerr
	}
	defer redo.Close()
	if err != nil {
		return true, redo.Truncate(0)
	}
	ledger, err := q.readLedger()
	if err == nil && ledger.Seq >= r.seq {
		return true, redo.Truncate(0) // all done but this
	}
	if err != nil && !errors.Is(err, errBadLedger) {
		return true, err
	}
	return true, q.resume(h, redo, r)
}

// resume takes a transaction up where the crash has left it.
func (q *Queue) resume(h *held, redo *os.File, r *record) error {
	if len(r.copies) == 0 {
		return q.finish(h, redo, r)
	}
	if r.boot != bootID() {
		return q.restore(h, redo, r)
	}
	if !r.exact {
		if err := r.judge(h.f); err != nil {
			return err
		}
	}
	begun, through := false, true
	for i, c := range r.copies {
		begun = begun || r.cursors[i] > c.from
		through = through && r.cursors[i] == c.from+c.len
	}
	switch {
	case !begun:
		return redo.Truncate(0) // it never happened
	case through:
		return q.finish(h, redo, r)
	}
	intact, err := r.intact(h.f)
	if err != nil {
		return err
	}
	if intact && h.info.Size == r.size() {
		cur := mapCursors(redo, r)
		defer cur.close()
		cur.arm(r)
		if err := q.apply(h, redo, cur, r); err != nil {
			return err
		}
		return q.finish(h, redo, r)
	}
	return q.replan(h, r, intact)
}

// bodyCopy is the copy that brings the body, or nil.
func (r *record) bodyCopy() (c *copyStep, done int64) {
	if len(r.body) == 0 {
		return nil, 0
	}
	i := len(r.copies) - 1
	return &r.copies[i], r.cursors[i] - r.copies[i].from
}

// blanked is how many bytes, from its start, the queue's old content has been
// overwritten.
func (r *record) blanked() (n int64) {
	for i, c := range r.copies {
		if b, _ := r.bodyCopy(); b == nil || b != &r.copies[i] {
			n += r.cursors[i] - c.from
		}
	}
	return n
}

// blankTotal is how many are to be.
func (r *record) blankTotal() (n int64) {
	for i, c := range r.copies {
		if b, _ := r.bodyCopy(); b == nil || b != &r.copies[i] {
			n += c.len
		}
	}
	return n
}

// size is the queue's size at this point if nobody else has touched it.
func (r *record) size() int64 {
	if b, done := r.bodyCopy(); b != nil && done > 0 {
		return max(r.before, b.at+done)
	}
	return r.before
}

// intact reports whether what the copies have written is still in the queue.
func (r *record) intact(f *os.File) (bool, error) {
	b, done := r.bodyCopy()
	if b != nil && done > 0 {
		got := make([]byte, done)
		if _, err := f.ReadAt(got, b.at); err == io.EOF {
			return false, nil
		} else if err != nil {
			return false, err
		}
		return bytes.Equal(got, r.body[:done]), nil
	}
	n := r.blanked()
	fi, err := f.Stat()
	if err != nil || fi.Size() < r.before {
		return false, err
	}
	return isBlank(f, 0, n)
}

// judge sets the cursors of a record that is not exact by what the queue looks
// like: as far as it has what a copy was to write.
func (r *record) judge(f *os.File) error {
	for i, c := range r.copies {
		want := r.body
		if c.from != r.bodyAt || len(r.body) == 0 {
			want = bytes.Repeat([]byte{'\n'}, int(c.len))
		}
		got := make([]byte, c.len)
		n, err := f.ReadAt(got, c.at)
		if err != nil && err != io.EOF {
			return err
		}
		k := int64(0)
		for k < int64(n) && got[k] == want[k] {
			k++
		}
		// What our own note says was written, was, even if it is gone since.
		r.cursors[i] = max(r.cursors[i], c.from+k)
	}
	// The copies are done in order: what a later one has done, the earlier
	// ones had finished, though it may have been written over.
	for i := len(r.copies) - 1; i > 0; i-- {
		if r.cursors[i] > r.copies[i].from {
			for j := range i {
				r.cursors[j] = r.copies[j].from + r.copies[j].len
			}
			break
		}
	}
	return nil
}

// replan is for a transaction that was cut in the middle of its copies, when
// somebody else has changed the queue since. The lines that had become visible
// are theirs to have read; the others are appended.
func (q *Queue) replan(h *held, r *record, intact bool) error {
	body := r.body
	if _, done := r.bodyCopy(); done > 0 {
		body = body[bytes.LastIndexByte(body[:done], '\n')+1:]
	}
	next := *r
	next.body = body
	next.before = h.info.Size
	blank := int64(0)
	if intact && r.blanked() < r.blankTotal() {
		blank = r.blankTotal() // the rest of the old lines is still there
	}
	at := h.info.Size
	if whole, err := endsLine(h.f, h.info.Size); err != nil {
		return err
	} else if !whole {
		next.body = append([]byte{'\n'}, body...)
	}
	next.trim = at + int64(len(next.body))
	data, err := next.encode(blank, at)
	if err != nil {
		return err
	}
	if err := q.sp.Root.WriteFile(redoName, data, q.sp.Tmp, q.opt.Fsync); err != nil {
		return fmt.Errorf("writing redo record: %w", err)
	}
	redo, err := q.openRedo()
	if err != nil {
		return err
	}
	defer redo.Close()
	cur := mapCursors(redo, &next)
	defer cur.close()
	cur.arm(&next)
	if err := q.apply(h, redo, cur, &next); err != nil {
		return err
	}
	return q.finish(h, redo, &next)
}

// restore is for a transaction that a power cut, or a reboot, has interrupted:
// the cursors may say what never reached the disk, and the old content may be
// half overwritten, so all of the new is written again.
func (q *Queue) restore(h *held, redo *os.File, r *record) error {
	// What somebody may have appended beyond our own writing is kept.
	var theirs []byte
	if end := r.end(); h.info.Size > end {
		theirs = make([]byte, h.info.Size-end)
		if _, err := h.f.ReadAt(theirs, end); err != nil {
			return fmt.Errorf("reading queue %s: %w", q.path(FileName), err)
		}
	}
	at := int64(0)
	if b, _ := r.bodyCopy(); b != nil {
		at = min(b.at, h.info.Size)
	}
	whole := append(append([]byte(nil), r.body...), theirs...)
	if _, err := h.f.WriteAt(whole, at); err != nil {
		return fmt.Errorf("writing queue %s: %w", q.path(FileName), err)
	}
	if err := h.f.Truncate(at + int64(len(whole))); err != nil {
		return fmt.Errorf("cutting queue %s: %w", q.path(FileName), err)
	}
	done := *r
	done.trim = done.end()
	return q.finish(h, redo, &done)
}

// endsLine reports whether the queue of this size is empty or ends in a line
// feed.
func endsLine(f *os.File, size int64) (bool, error) {
	if size == 0 {
		return true, nil
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], size-1); err != nil {
		return false, err
	}
	return b[0] == '\n', nil
}
