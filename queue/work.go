package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"spoolagent/spoolfiles"
)

// The directory work has the files that the transaction under way takes out of
// the spool. They come in before the record is written; once the record is
// whole they are the transaction's, and finishing it empties work. If there was
// no record, or it never began, they go back.

// takeDrop moves a drop that was read to work. It reports false if the drop has
// gone, another one has come in its place since, or it cannot be moved, which is
// noted in res. After an error, nothing that is in work may be removed.
func (q *Queue) takeDrop(name, workName string, id spoolfiles.Identity, res *FoldResult) (bool, error) {
	q.next("take", 0)
	err := q.sp.Incoming.Rename(name, q.sp.Work, workName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		res.fail(name, err)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("taking a drop: %w", err)
	}
	info, err := q.sp.Work.Lstat(workName)
	if err != nil {
		return false, fmt.Errorf("taking a drop: %w", err)
	}
	if same(info.Identity, id) {
		return true, nil
	}
	return false, q.putBack(workName)
}

// same tells by the inode where there is one: a producer that writes in place
// may touch its drop after it has been read, and it is the same drop for all
// that.
func same(a, b spoolfiles.Identity) bool {
	if a.Ino != 0 && b.Ino != 0 {
		return a.Ino == b.Ino
	}
	return a == b
}

// putBack moves a drop from work to incoming.
func (q *Queue) putBack(name string) error {
	to := name
	if _, err := q.sp.Incoming.Lstat(name); err == nil {
		to = spoolfiles.NewID() + "-" + name // somebody has used the name again
		to = to[max(0, len(to)-200):]
	}
	if err := gone(q.sp.Work.Rename(name, q.sp.Incoming, to)); err != nil {
		return fmt.Errorf("putting back a drop: %w", err)
	}
	return nil
}

// restoreWork puts back the drops of a transaction that never began, and removes
// the copies that it had made.
func (q *Queue) restoreWork(names []string) error {
	for _, name := range names {
		var err error
		if spoolfiles.IsDropName(name) {
			err = q.putBack(name)
		} else {
			err = gone(q.sp.Work.Remove(name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// emptyWork removes the drops that a transaction has folded or evicted.
func (q *Queue) emptyWork() error {
	names, err := q.sp.Work.List()
	if err != nil {
		return fmt.Errorf("emptying work: %w", err)
	}
	for _, name := range names {
		err := gone(q.sp.Work.Remove(name))
		if err != nil {
			// A directory was evicted unread. It may have something in it.
			if info, lerr := q.sp.Work.Lstat(name); lerr == nil && info.Mode.IsDir() {
				err = q.setAside(q.sp.Work, name, "a directory, not a regular file")
			}
		}
		if err != nil {
			return fmt.Errorf("emptying work: %w", err)
		}
	}
	return nil
}

// rejectWork moves what a transaction has rejected to rejected. The names are
// ones that were free there, and each has its reason beside it.
func (q *Queue) rejectWork() error {
	names, err := q.sp.Work.List()
	if err != nil {
		return fmt.Errorf("rejecting: %w", err)
	}
	for _, name := range names {
		to := name
		if info, err := q.sp.Rejected.Lstat(name); err == nil && info.Mode.IsDir() {
			to = q.sp.RejectName(name) // somebody has put it there since, and no file replaces it
		}
		err := gone(q.sp.Work.Rename(name, q.sp.Rejected, to))
		if err != nil {
			return fmt.Errorf("rejecting %q: %w", name, err)
		}
	}
	if len(names) > 0 {
		_ = q.sp.PruneRejects() // the next reject tries again
	}
	return nil
}

// rejectName returns a name that is free in rejected and in work.
func (q *Queue) rejectName(name string) string {
	free := q.sp.RejectName(name)
	for {
		_, err := q.sp.Work.Lstat(free)
		_, rerr := q.sp.Work.Lstat(free + spoolfiles.ReasonSuffix)
		if err != nil && rerr != nil {
			return free
		}
		free = q.sp.RejectName(spoolfiles.NewID() + "-" + name)
	}
}

// setAside moves a file to rejected that no transaction is about.
func (q *Queue) setAside(from *spoolfiles.Dir, name, reason string) error {
	to := q.sp.RejectName(name)
	err := q.sp.Rejected.WriteFile(to+spoolfiles.ReasonSuffix, []byte(oneLine(reason)+"\n"), q.sp.Tmp, false)
	if err == nil {
		if err = from.Rename(name, q.sp.Rejected, to); err != nil {
			err = errors.Join(err, q.sp.Rejected.Remove(to+spoolfiles.ReasonSuffix))
		}
	}
	if err != nil {
		return fmt.Errorf("rejecting %q: %w", name, err)
	}
	return nil
}

// giveReason writes the reason of what is to be rejected under this name.
func (q *Queue) giveReason(name, reason string) error {
	err := q.sp.Work.WriteFile(name+spoolfiles.ReasonSuffix, []byte(oneLine(reason)+"\n"), q.sp.Tmp, false)
	if err != nil {
		return fmt.Errorf("rejecting %q: %w", name, err)
	}
	return nil
}

// rejectPart copies a piece of a file to work, to be rejected.
func (q *Queue) rejectPart(from io.ReaderAt, off, size int64, reason string) error {
	name := "line-" + spoolfiles.NewID()
	f, err := q.sp.Work.Create(name)
	if err != nil {
		return fmt.Errorf("rejecting a malformed line: %w", err)
	}
	_, err = io.Copy(f, io.NewSectionReader(from, off, size))
	if err == nil && q.opt.Fsync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("rejecting a malformed line: %w", err)
	}
	return q.giveReason(name, reason)
}

// oneLine makes a reason fit for a line of a file or of a log, whatever hostile
// name or content has got into it.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !printable(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
	const enough = 500
	if len(s) > enough {
		s = strings.ToValidUTF8(s[:enough], "") + "..."
	}
	return s
}
