package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"spoolagent/spoolfiles"
)

// change is what a transaction does. The queue becomes: after blanking its
// first blank bytes, body written at at, and cut to size.
type change struct {
	blank  int64
	body   []byte
	at     int64
	size   int64
	moves  []move
	ledger Ledger // after; commit numbers it
	brief  bool   // may be forgotten in a power cut: the redo record is not synced
}

// appendLines is the change that adds lines to a queue of this size.
func appendLines(size int64, lines []byte) change {
	return change{body: lines, at: size, size: size + int64(len(lines))}
}

// replaceLines is the change that makes the queue's whole content these lines.
func replaceLines(size int64, lines []byte) change {
	return change{blank: size, body: lines, size: int64(len(lines))}
}

// commit carries out a change, all or nothing. After an error the transaction
// either did not happen or is left for the next one to finish.
func (q *Queue) commit(h *held, c change) error {
	c.ledger.Seq++
	r := &record{
		seq:    c.ledger.Seq,
		boot:   bootID(),
		exact:  !q.byHand,
		before: h.info.Size,
		trim:   c.size,
		ledger: c.ledger,
		moves:  c.moves,
		body:   c.body,
	}
	if err := preallocate(h.f, h.info.Size, c.size); err != nil {
		return fmt.Errorf("making room in queue %s: %w", q.path(FileName), err)
	}
	redo, err := q.openRedo()
	if err != nil {
		return err
	}
	defer redo.Close()
	cur, err := q.writeRecord(redo, r, c)
	if err != nil {
		return errors.Join(err, redo.Truncate(0))
	}
	defer cur.close()
	q.next("begin", 0)
	if err := q.apply(h, redo, cur, r); err != nil {
		if !cur.moved(r) {
			// Nothing has happened yet, and nothing shall.
			err = errors.Join(err, redo.Truncate(0))
			if errors.Is(err, errNoSendfile) && !q.byHand {
				q.byHand = true
				c.ledger.Seq--
				return q.commit(h, c)
			}
		}
		return err
	}
	return q.finish(h, redo, r)
}

// errNoSendfile: this file system, or this kernel, cannot do an exact copy.
var errNoSendfile = errors.New("no sendfile between files")

// openRedo opens the redo record for writing, empty or not.
func (q *Queue) openRedo() (*os.File, error) {
	info, err := q.sp.Root.Lstat(redoName)
	if err == nil && (info.Links > 1 || !info.Mode.IsRegular() || !info.Ours()) {
		// It is about to be written in place, which must touch nobody else's
		// file. A record worth keeping was ours and had one name.
		err = q.setAside(redoName, "not a plain file of this user with one name")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := q.sp.Root.OpenFile(redoName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("opening redo record: %w", err)
	}
	return f, nil
}

func (q *Queue) writeRecord(redo *os.File, r *record, c change) (*cursors, error) {
	data, err := r.encode(spans(0, c.blank), c.at)
	if err != nil {
		return nil, err
	}
	cur := mapCursors(redo, r)
	if !r.exact {
		if data, err = r.encode(spans(0, c.blank), c.at); err != nil {
			return nil, err
		}
		cur.base = r.cursorsAt
	}
	if _, err := redo.WriteAt(data, 0); err != nil {
		cur.close()
		return nil, fmt.Errorf("writing redo record: %w", err)
	}
	if q.opt.Fsync && !c.brief {
		if err := datasync(redo); err != nil {
			cur.close()
			return nil, fmt.Errorf("syncing redo record: %w", err)
		}
	}
	cur.arm(r)
	return cur, nil
}

// apply changes the queue: the copies that are not through yet, then the cut.
func (q *Queue) apply(h *held, redo *os.File, cur *cursors, r *record) error {
	for i, c := range r.copies {
		for cur.at(i) < c.from+c.len {
			done := cur.at(i) - c.from
			if err := cur.copy(i, h.f, c.at+done, redo, q.next("copy", c.len-done)); err != nil {
				return fmt.Errorf("writing queue %s: %w", q.path(FileName), err)
			}
		}
	}
	return nil
}

// end is how large the queue is after the copies and before the cut, if
// nobody else has touched it.
func (r *record) end() int64 {
	end := r.before
	for _, c := range r.copies {
		end = max(end, c.at+c.len)
	}
	return end
}

// finish does what comes after the copies. It may be done again.
func (q *Queue) finish(h *held, redo *os.File, r *record) error {
	if r.trim < r.end() {
		q.next("cut", 0)
		if err := q.cut(h, r); err != nil {
			return fmt.Errorf("cutting queue %s: %w", q.path(FileName), err)
		}
	}
	if q.opt.Fsync && len(r.copies) > 0 {
		if err := datasync(h.f); err != nil {
			return fmt.Errorf("syncing queue %s: %w", q.path(FileName), err)
		}
	}
	if err := q.moveAll(r.moves); err != nil {
		return err
	}
	q.next("ledger", 0)
	if err := q.writeLedger(r.ledger); err != nil {
		return err
	}
	q.next("clear", 0)
	if err := r.clear(redo); err != nil {
		return fmt.Errorf("clearing redo record: %w", err)
	}
	return nil
}

// cut takes the line feeds from the end of the queue that are left of its old
// content. If there is anything else, somebody has written there since.
func (q *Queue) cut(h *held, r *record) error {
	fi, err := h.f.Stat()
	if err != nil || fi.Size() != r.end() {
		return err
	}
	blank, err := isBlank(h.f, r.trim, r.end())
	if err != nil || !blank {
		return err
	}
	return h.f.Truncate(r.trim)
}

func isBlank(f *os.File, from, to int64) (bool, error) {
	buf := make([]byte, min(to-from, 64<<10))
	for from < to {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		for _, b := range buf[:n] {
			if b != '\n' {
				return false, nil
			}
		}
		if err != nil {
			return false, err
		}
		from += int64(n)
	}
	return true, nil
}

// manyMoves is from how many removals on they are shared.
const manyMoves = 1024

// moveAll carries out the moves, in their order. Many removals, which need
// none, are done by two at once: much of what a removal costs comes after the
// file system has let go of the directory.
func (q *Queue) moveAll(moves []move) error {
	isNoRemoval := func(m move) bool { return m.op != opRemove }
	if len(moves) < manyMoves || slices.ContainsFunc(moves, isNoRemoval) {
		return q.moveEach(moves)
	}
	half := len(moves) / 2
	done := make(chan error, 1)
	go func() { done <- q.moveEach(moves[half:]) }()
	err := q.moveEach(moves[:half])
	return errors.Join(err, <-done)
}

func (q *Queue) moveEach(moves []move) error {
	for i := range moves {
		if err := q.move(&moves[i]); err != nil {
			return err
		}
	}
	return nil
}

// move carries out one move, unless it has been: then the file is not there,
// or another one has its name.
func (q *Queue) move(m *move) error {
	if m.op == opReason {
		err := q.sp.Rejected.WriteFile(m.name+spoolfiles.ReasonSuffix, []byte(m.text+"\n"), q.sp.Tmp, false)
		if err != nil {
			return fmt.Errorf("rejecting %q: %w", m.name, err)
		}
		return nil
	}
	dir := q.sp.Dir(m.dir)
	if dir == nil {
		return nil // no such directory: nothing of ours
	}
	if !m.unlooked {
		info, err := dir.Lstat(m.name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !m.is(info.Identity) {
			return nil
		}
	}
	var err error
	switch m.op {
	case opRemove:
		err = dir.Remove(m.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			err = q.irremovable(dir, m, err)
		}
	case opMove:
		if to := q.sp.Dir(m.toDir); to != nil {
			err = dir.Rename(m.name, to, m.toName)
			if err != nil && inTheWay(to, m.toName) {
				// Nobody put a directory there while we looked but to harm.
				err = dir.Rename(m.name, q.sp.Rejected, q.sp.RejectName(m.toName))
			}
		}
		if errors.Is(err, fs.ErrPermission) && m.toDir == "rejected" {
			// It stays where it is; the others must not wait for it.
			q.stuck[m.id] = true
			return nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// inTheWay reports whether name is a directory, which no file can replace.
func inTheWay(d *spoolfiles.Dir, name string) bool {
	info, err := d.Lstat(name)
	return err == nil && info.Mode.IsDir()
}

// irremovable is for what could not be removed, and must not hold up the
// others: a directory that was evicted unread goes to rejected, and what nobody
// may remove stays.
func (q *Queue) irremovable(dir *spoolfiles.Dir, m *move, err error) error {
	info, lerr := dir.Lstat(m.name)
	switch {
	case lerr == nil && info.Mode.IsDir():
		name := q.sp.RejectName(m.name)
		return errors.Join(
			q.move(&move{op: opReason, name: name, text: "a directory, not a regular file"}),
			q.move(&move{op: opMove, dir: m.dir, name: m.name, id: info.Identity, toDir: "rejected", toName: name}))
	case errors.Is(err, fs.ErrPermission):
		q.stuck[m.id] = true
		return nil
	}
	return err
}

// is reports whether a file with the move's name is the one that was meant. The
// inode decides where there is one: a producer that writes in place may still
// touch its drop after it has been read, and it is the same drop for all that.
// Size -1: only the inode is known.
func (m *move) is(id spoolfiles.Identity) bool {
	if m.id.Ino != 0 {
		return m.id.Ino == id.Ino
	}
	return m.id == id
}
