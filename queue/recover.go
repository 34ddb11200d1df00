package queue

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"spoolagent/spoolfiles"
)

// maxRedoSize bounds what is written and read of a record. A capped queue stays
// far below; only a huge uncapped one can come near.
const maxRedoSize = 256 << 20

// pending reports whether a transaction waits to be finished.
func (q *Queue) pending() bool {
	info, err := q.sp.Root.Lstat(redoName)
	if err != nil || info.Size == 0 {
		return false
	}
	f, err := q.sp.Root.OpenFile(redoName, os.O_RDONLY)
	if err != nil {
		return true // recover will say what it is
	}
	defer f.Close()
	var first [1]byte
	_, err = f.ReadAt(first[:], 0)
	return err != nil || first[0] != '\n'
}

// recover finishes, or forgets, the transaction that a crash has left. It
// reports whether there was one.
func (q *Queue) recover(h *held) (bool, error) {
	if !q.pending() {
		return false, nil
	}
	data, info, err := q.sp.Root.ReadFile(redoName, maxRedoSize)
	var unfit *spoolfiles.UnfitError
	var owner *spoolfiles.OwnerError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.As(err, &unfit), errors.As(err, &owner):
		return true, q.setAside(redoName, err.Error())
	case err != nil:
		// A link, a FIFO: not what we left, and nothing to be finished.
		if q.irregular(redoName) {
			return true, q.setAside(redoName, err.Error())
		}
		return true, fmt.Errorf("reading redo record: %w", err)
	}
	r, err := decodeRedo(data)
	if err != nil && !errors.Is(err, errTorn) {
		// It may have been the only place of something.
		return true, q.setAside(redoName, err.Error())
	}
	if info.Links > 1 {
		// The other name may be anybody's; from here on we write.
		if err := q.sp.Root.WriteFile(redoName, data, q.sp.Tmp, q.opt.Fsync); err != nil {
			return true, fmt.Errorf("writing redo record: %w", err)
		}
	}
	redo, oerr := q.openRedo()
	if oerr != nil {
		return true, oerr
	}
	defer redo.Close()
	if err != nil {
		return true, redo.Truncate(0)
	}
	ledger, err := q.loadLedger()
	if err != nil {
		return true, err
	}
	if ledger.Seq >= r.seq {
		return true, redo.Truncate(0) // all done but this
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
	begun, through := r.again, true
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

// blanks are the copies that overwrite the old content; they lie end to end.
func (r *record) blanks() []copyStep {
	if len(r.body) == 0 {
		return r.copies
	}
	return r.copies[:len(r.copies)-1]
}

// blanked is how many bytes of the old content have been overwritten.
func (r *record) blanked() (n int64) {
	for i, c := range r.blanks() {
		n += r.cursors[i] - c.from
	}
	return n
}

// blankTotal is how many are to be.
func (r *record) blankTotal() (n int64) {
	for _, c := range r.blanks() {
		n += c.len
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
		if !bytes.Equal(got, r.body[:done]) || b.at+done >= r.before {
			return bytes.Equal(got, r.body[:done]), nil
		}
		// All lines begin alike, so ours must be followed by what we blanked.
		return isBlank(f, b.at+done, r.before)
	}
	fi, err := f.Stat()
	if err != nil || fi.Size() < r.before {
		return false, err
	}
	if r.torn > 0 {
		return r.stillTorn(f)
	}
	return isBlank(f, 0, r.blanked())
}

// stillTorn reports whether the piece of a line that is to be blanked stands
// where it was, as far as it has not been blanked.
func (r *record) stillTorn(f *os.File) (bool, error) {
	got := make([]byte, r.torn)
	if _, err := f.ReadAt(got, r.copies[0].at); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, err
	}
	n := 0
	for n < len(got) && got[n] == '\n' {
		n++
	}
	if int64(n) < r.blanked() || !bytes.Equal(got[n:], r.text()[n:r.torn]) {
		return false, nil
	}
	if n > 0 {
		return true, nil
	}
	// All lines begin alike: one that is whole was put there by a stranger, after
	// another one had taken what was there.
	return malformedAt(f, r.copies[0].at)
}

// judge sets the cursors of a record that is not exact by what the queue looks
// like: as far as it has what a copy was to write. The copies are made in
// order, each with its cursor set before the next begins.
func (r *record) judge(f *os.File) error {
	for i, c := range r.copies {
		if r.cursors[i] == c.from+c.len {
			continue
		}
		want := r.body
		if i < len(r.blanks()) {
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
		if r.cursors[i] < c.from+c.len {
			return nil
		}
	}
	return nil
}

// replan is for a change that was cut in the middle of its copies, when
// somebody else has changed the queue since. The lines that had become visible
// are theirs to have read; the others are appended, by a record that takes the
// place of the first and is bound to be carried out.
//
// The piece of a line at which the copy was cut may have got a stranger's line
// behind it, so that both are malformed. It is blanked, which makes the
// stranger's whole, and ours is appended anew. While both are there, nobody
// can have taken either.
func (q *Queue) replan(h *held, r *record, intact bool) error {
	next := *r
	next.again, next.torn = true, 0
	next.before = h.info.Size
	var blanks []span
	var err error
	if b, done := r.bodyCopy(); done > 0 {
		line := int64(bytes.LastIndexByte(r.body[:done], '\n')) + 1
		// All of the line but its line feed may have been visible, too; if the
		// queue has been emptied since, nobody can tell.
		visible := intact && line < done && r.body[done] == '\n'
		if visible {
			var after [1]byte
			n, err := h.f.ReadAt(after[:], b.at+done)
			if err != nil && err != io.EOF {
				return err
			}
			visible = n == 0 || after[0] == '\n'
		}
		if intact && !visible && line < done {
			// All lines begin alike: one that is whole is a stranger's.
			if intact, err = malformedAt(h.f, b.at+line); err != nil {
				return err
			}
		}
		switch {
		case visible:
			line = done + 1
		case intact && line < done:
			next.torn = done - line
			blanks = spans(b.at+line, next.torn)
		}
		next.body = r.body[line:]
	} else if intact && r.blanked() < r.blankTotal() {
		// The rest of the old lines, or of the torn one, is still there.
		next.torn = r.torn
		for i, c := range r.blanks() {
			blanks = append(blanks, span{c.at, c.len, r.cursors[i] - c.from})
		}
	}
	at := h.info.Size
	if whole, err := endsLine(h.f, at); err != nil {
		return err
	} else if !whole && len(next.body) > 0 {
		next.body = append([]byte{'\n'}, next.body...)
	}
	next.trim = at + int64(len(next.body))
	data, err := next.encode(blanks, at)
	if err != nil {
		return err
	}
	q.next("plan again", 0)
	if err := q.sp.Root.WriteFile(redoName, data, q.sp.Tmp, q.opt.Fsync); err != nil {
		return fmt.Errorf("writing redo record: %w", err)
	}
	redo, err := q.openRedo()
	if err != nil {
		return err
	}
	defer redo.Close()
	q.next("begin", 0)
	cur := mapCursors(redo, &next)
	defer cur.close()
	cur.arm(&next)
	if err := q.apply(h, redo, cur, &next); err != nil {
		return err
	}
	return q.finish(h, redo, &next)
}

// malformedAt reports whether the queue's line that begins at off is no signal.
func malformedAt(f *os.File, off int64) (bool, error) {
	in := bufio.NewReader(io.NewSectionReader(f, off, math.MaxInt64-off))
	var long []byte
	line, length, err := readLine(in, &long)
	if err != nil && err != io.EOF {
		return false, err
	}
	_, err = parseLine(line, length)
	return err != nil, nil
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
	at := r.trim // of a change that brings no lines
	if b, _ := r.bodyCopy(); b != nil {
		at = b.at
	}
	at = min(at, h.info.Size)
	if err := r.reblank(h.f, at); err != nil {
		return fmt.Errorf("writing queue %s: %w", q.path(FileName), err)
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

// reblank blanks again what lies before to.
func (r *record) reblank(f *os.File, to int64) error {
	if r.torn > 0 {
		for i, c := range r.blanks() {
			r.cursors[i] = c.from // may not have reached the disk
		}
		if ok, err := r.stillTorn(f); !ok || err != nil {
			return err
		}
	}
	for _, c := range r.blanks() {
		n := min(c.len, to-c.at)
		if n <= 0 {
			break
		}
		if _, err := f.WriteAt(bytes.Repeat([]byte{'\n'}, int(n)), c.at); err != nil {
			return err
		}
	}
	return nil
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
