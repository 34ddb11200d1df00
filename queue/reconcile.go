package queue

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"os"
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
// So signals that were in flight may repeat, but none is lost. The new record
// has the present boot, so that this happens once.
type reconciliation struct {
	q      *Queue
	h      *held
	seed   maphash.Seed
	legacy *legacyRecord // nil: none
	files  []*os.File    // to be closed

	queue  lineSet       // the lines of the queue
	leaves lineSet       // lines that leave it
	must   []io.ReaderAt // lines that it must have then
	ledger Ledger
}

func (q *Queue) reconcile(h *held, legacy bool) (err error) {
	r := &reconciliation{q: q, h: h, seed: maphash.MakeSeed(), ledger: h.ledger}
	defer func() {
		for _, f := range r.files {
			err = errors.Join(err, f.Close())
		}
	}()
	if legacy {
		if err := r.readLegacy(); err != nil {
			return err
		}
	}
	if r.queue, err = r.lines(h.f); err != nil {
		return fmt.Errorf("reading queue: %w", err)
	}
	for _, step := range []func() error{r.readLast, r.removeFolded, r.removeReplies, q.clearWork, r.rewrite} {
		q.next("reconcile", 0)
		if err := step(); err != nil {
			return err
		}
	}
	if legacy {
		return q.removeLegacy()
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
	if err != nil {
		return nil, fmt.Errorf("reconciling: %w", err)
	}
	r.files = append(r.files, f)
	return f, nil
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
		f, err := r.open(q.sp.Root, recordName(last.Seq))
		if err != nil {
			return err
		}
		body := io.NewSectionReader(f, last.bodyAt(), last.Body)
		if r.leaves, err = r.lines(io.NewSectionReader(f, last.oldAt(), last.Old)); err != nil {
			return err
		}
		written, err := r.lines(body)
		for sum, n := range written {
			r.leaves[sum] = max(r.leaves[sum], n)
		}
		r.must = append(r.must, body)
		return err
	}
	return nil
}

// removeFolded removes the drops in work that have been folded, and puts the
// others back.
func (r *reconciliation) removeFolded() error {
	q := r.q
	names, err := q.sp.Work.List()
	if err != nil {
		return fmt.Errorf("listing work: %w", err)
	}
	if len(names) == 0 && r.legacy == nil {
		return nil
	}
	control, err := q.sp.ScanControl()
	if err != nil {
		return fmt.Errorf("listing control: %w", err)
	}
	places := append([]io.ReaderAt{r.h.f}, r.must...)
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
	if err == nil && r.legacy != nil {
		var more int64
		more, err = r.removePresent(q.sp.Incoming, r.legacy.drops, present)
		folded += more
	}
	if last := r.h.last; last != nil && last.state == pending && last.Verb == foldVerb {
		r.ledger.Folded -= min(int64(len(names))-folded, last.Signals) // these are folded again
	} else {
		r.ledger.Folded += folded
	}
	return err
}

// removePresent removes the drops whose lines are present, and counts them.
func (r *reconciliation) removePresent(dir *spoolfiles.Dir, names []string, present lineSet) (n int64, err error) {
	for _, name := range names {
		info, err := dir.Lstat(name)
		if err != nil || !spoolfiles.IsDropName(name) {
			continue
		}
		s, _, err := r.q.read(dir, spoolfiles.Entry{Name: name, Info: info})
		if err != nil || !present.take(r.sum(&line{signal: s})) {
			continue
		}
		n++
		if err := gone(dir.Remove(name)); err != nil {
			return n, fmt.Errorf("removing a drop that was folded: %w", err)
		}
	}
	return n, nil
}

// removeReplies removes replies that drains have not begun to hand out, and the
// reply that has returned.
func (r *reconciliation) removeReplies() error {
	q := r.q
	names, err := q.sp.Tmp.List()
	for _, name := range names {
		if strings.HasPrefix(name, replyName("")) && err == nil {
			err = gone(q.sp.Tmp.Remove(name))
		}
	}
	if last := r.h.last; last != nil && last.state == pending && last.Verb == returnVerb && err == nil {
		err = gone(q.sp.Control.Remove(last.ID + spoolfiles.ReturningSuffix))
	}
	if r.legacy != nil && r.legacy.returning != "" && err == nil {
		err = gone(q.sp.Control.Remove(r.legacy.returning))
	}
	if err != nil {
		return fmt.Errorf("removing old replies: %w", err)
	}
	return nil
}

// rewrite brings the queue to what it has to be, and makes a record of it.
func (r *reconciliation) rewrite() error {
	q, h := r.q, r.h
	h.ledger = r.ledger
	l, c, err := q.account(h)
	if err != nil {
		return err
	}
	if len(r.must)+len(r.leaves) == 0 && c.bad == 0 {
		return q.commit(h, change{record: record{Verb: compactVerb, Ledger: l}})
	}
	stays := maps.Clone(r.queue)
	for sum, n := range r.leaves {
		stays[sum] -= min(n, stays[sum])
	}
	_, err = q.rewrite(h, rewriting{
		verb: compactVerb,
		ours: func([]byte) bool { return true },
		lead: func(w io.Writer) error {
			there := maps.Clone(stays)
			for _, m := range r.must {
				if err := copySignals(w, whole(m), func(l *line) bool { return !there.take(r.sum(l)) }); err != nil {
					return err
				}
			}
			return nil
		},
		keep: func() func(*line) bool {
			left := maps.Clone(r.leaves)
			return func(l *line) bool { return !left.take(r.sum(l)) }
		},
	}, new(FoldResult))
	return err
}
