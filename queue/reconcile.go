package queue

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"spoolagent/spoolfiles"
)

// reconciliation is the recovery where the cells prove nothing: after a power
// cut or a reboot, with an unknown boot, or without exact copies. The files
// decide:
//
//   - A reply of the newest transaction is published, and its lines leave the
//     queue.
//   - An unfinished rewrite is made again: what it was to overwrite leaves the
//     queue, and its lines come back.
//   - A drop in work whose line is in the queue, or in a reply, has been folded.
//     Any other is folded again.
//   - What is malformed is a piece that the disk has left of a line. It goes.
//
// So signals that were in flight may repeat. None is lost, but for a drop in flight
// that is equal, to the second, to a signal that is there already. The new record
// has the present boot, so that this happens once.
type reconciliation struct {
	q     *Queue
	h     *held
	seed  maphash.Seed
	files []*os.File // to be closed

	leaves   lineSet     // lines that leave the queue
	must     io.ReaderAt // lines that it must have besides then; nil: none
	returned string      // a file in control that has returned; "": none
}

func (q *Queue) reconcile(h *held) error {
	r := &reconciliation{q: q, h: h, seed: maphash.MakeSeed()}
	defer func() {
		for _, f := range r.files {
			f.Close()
		}
	}()
	for _, step := range []func() error{
		r.migrate, r.readLast, r.removeFolded, r.removeReplies, q.clearWork, r.rewrite, r.removeLegacy,
	} {
		q.next("reconcile", 0)
		if err := step(); err != nil {
			return fmt.Errorf("reconciling: %w", err)
		}
	}
	return nil
}

// lineSet counts lines by their hash. The seed is random, so nobody can aim at
// a collision.
type lineSet map[uint64]int

func (s lineSet) take(sum uint64) bool {
	if s[sum] == 0 {
		return false
	}
	s[sum]--
	return true
}

func (r *reconciliation) sum(l *line) uint64 { return maphash.Bytes(r.seed, l.canonical(nil)) }

// lines are the signals among some lines.
func (r *reconciliation) lines(from ...io.ReaderAt) (lineSet, error) {
	set := lineSet{}
	for _, f := range from {
		err := scan(whole(f), func(l *line) error {
			if l.err == nil {
				set[r.sum(l)]++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return set, nil
}

func whole(from io.ReaderAt) io.Reader { return io.NewSectionReader(from, 0, 1<<62) }

// open opens a file that is closed at the end. What is not there, or not ours,
// is nil.
func (r *reconciliation) open(dir *spoolfiles.Dir, name string) (*os.File, error) {
	f, err := dir.OpenFile(name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err == nil {
		r.files = append(r.files, f)
	}
	return f, err
}

// readLast finds what the newest transaction was to do.
func (r *reconciliation) readLast() error {
	q, last := r.q, r.h.last
	switch {
	case last == nil:
	case last.Verb == drainVerb:
		if _, err := q.sp.Tmp.Lstat(replyName(last.ID)); err == nil {
			if err := q.publish(last.ID); err != nil {
				return err
			}
		}
		reply, err := r.open(q.sp.Control, last.ID+spoolfiles.ReplySuffix)
		if err != nil || reply == nil {
			return err
		}
		r.leaves, err = r.lines(reply)
		return err
	case last.state == pending && (last.Verb == returnVerb || last.Verb == compactVerb):
		if last.Verb == returnVerb {
			r.returned = last.ID + spoolfiles.ReturningSuffix
		}
		f, err := r.open(q.sp.Root, recordName(last.Seq))
		if err != nil {
			return err
		}
		body := io.NewSectionReader(f, last.bodyAt(), last.Body)
		if r.leaves, err = r.lines(io.NewSectionReader(f, last.oldAt(), last.old())); err != nil {
			return err
		}
		written, err := r.lines(body)
		for sum, n := range written {
			r.leaves[sum] = max(r.leaves[sum], n)
		}
		r.must = body
		return err
	}
	return nil
}

// removeFolded removes the drops in work that have been folded. Afterwards the
// others go back.
func (r *reconciliation) removeFolded() error {
	q := r.q
	names, err := q.sp.Work.List()
	control, cerr := q.sp.ScanControl()
	if err := errors.Join(err, cerr); err != nil {
		return err
	}
	places := []io.ReaderAt{r.h.f}
	if r.must != nil {
		places = append(places, r.must)
	}
	for _, reply := range control.Replies {
		if f, err := r.open(q.sp.Control, reply.Name); err != nil {
			return err
		} else if f != nil {
			places = append(places, f)
		}
	}
	present, err := r.lines(places...)
	if err != nil {
		return fmt.Errorf("reading replies: %w", err)
	}
	folded, err := r.removePresent(q.sp.Work, names, present)
	if last := r.h.last; last != nil && last.state == pending && last.Verb == foldVerb {
		r.h.ledger.Folded -= min(int64(len(names))-folded, last.Signals) // these are folded again
	} else {
		r.h.ledger.Folded += folded
	}
	return err
}

// removePresent removes the drops whose lines are present, and counts them.
func (r *reconciliation) removePresent(dir *spoolfiles.Dir, names []string, present lineSet) (n int64, err error) {
	for _, name := range names {
		if !spoolfiles.IsDropName(name) {
			continue
		}
		s, _, err := r.q.read(dir, name)
		if err != nil || !present.take(r.sum(&line{signal: s})) {
			continue
		}
		if err := gone(dir.Remove(name)); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// removeReplies removes replies that drains have not begun to hand out, and the
// replies that have returned.
func (r *reconciliation) removeReplies() error {
	replies, err := r.unpublished()
	for _, name := range replies {
		err = errors.Join(err, gone(r.q.sp.Tmp.Remove(name)))
	}
	if r.returned != "" {
		err = errors.Join(err, gone(r.q.sp.Control.Remove(r.returned)))
	}
	return err
}

// unpublished lists the replies that are in tmp.
func (r *reconciliation) unpublished() ([]string, error) {
	names, err := r.q.sp.Tmp.List()
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, replyName("")) }), err
}

// rewrite brings the queue to what it has to be, and makes a record of it.
func (r *reconciliation) rewrite() error {
	q, h := r.q, r.h
	l, c, err := q.account(h)
	if err != nil {
		return err
	}
	if r.must == nil && len(r.leaves) == 0 && c.bad == 0 {
		return q.commit(h, &record{Verb: compactVerb, Ledger: l}, nil)
	}
	return q.rewrite(h, rewriting{
		verb: compactVerb,
		ours: func([]byte) bool { return true },
		lead: func(w io.Writer) error {
			if r.must == nil {
				return nil
			}
			return copySignals(w, whole(r.must), nil)
		},
		keep: func() func(*line) bool {
			left := maps.Clone(r.leaves)
			return func(l *line) bool { return !left.take(r.sum(l)) }
		},
	}, new(Result))
}
