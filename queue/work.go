package queue

import (
	"errors"
	"fmt"
	"io/fs"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// The directory work has the drops that the transaction under way takes. They
// come in before the record is written; once the record is whole they are the
// transaction's, and finishing it empties work. If there was no record, or it
// never began, they go back.

// takeDrop moves a drop that was read from incoming to work. It reports false if
// the drop has gone, another one has come in its place since, or it cannot be
// moved, which is noted in res. After an error, nothing that is in work may be
// removed.
func (q *Queue) takeDrop(e spoolfiles.Entry, res *Result) (bool, error) {
	q.next("take", 0)
	err := q.sp.Incoming.Rename(e.Name, q.sp.Work, e.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		res.fail("drop "+e.Name, err)
		return false, nil
	}
	var info spoolfiles.Info
	if err == nil {
		info, err = q.sp.Work.Lstat(e.Name)
	}
	if err != nil || info.Is(e.Info) {
		return err == nil, err
	}
	return false, q.putBack(e.Name)
}

// putBack moves a drop back to incoming.
func (q *Queue) putBack(name string) error {
	to := name
	if _, err := q.sp.Incoming.Lstat(name); err == nil {
		to = spoolfiles.NewID() + "-" + name[max(0, len(name)-150):] // somebody has used the name again
	}
	return gone(q.sp.Work.Rename(name, q.sp.Incoming, to))
}

// clearWork puts back the drops of a transaction that never began.
func (q *Queue) clearWork() error {
	names, err := q.sp.Work.List()
	for _, name := range names {
		err := q.putBack(name)
		if err != nil && (spoolfiles.IsDropName(name) || !errors.Is(err, fs.ErrPermission)) {
			return err // but what we have never put there may stay
		}
	}
	return err
}

// emptyWork removes the drops that a transaction has folded.
func (q *Queue) emptyWork() error {
	names, err := q.sp.Work.List()
	for _, name := range names {
		if err := q.sp.Work.RemoveAll(name); err != nil {
			return err
		}
	}
	return err
}

// giveReason writes beside something in rejected why it is there.
func (q *Queue) giveReason(name, reason string) error {
	return q.sp.Rejected.WriteFile(name+spoolfiles.ReasonSuffix, []byte(quote.Text(reason)+"\n"), q.sp.Tmp, false)
}

// setAside moves a file to rejected. No transaction is about it.
func (q *Queue) setAside(from *spoolfiles.Dir, name, reason string) error {
	to := q.sp.RejectName(name)
	err := q.giveReason(to, reason)
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
