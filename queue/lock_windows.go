package queue

import (
	"errors"
	"io/fs"
	"os"

	"github.com/gofrs/flock"
)

// lockName is the file that is locked: one beside the queue, for locks are
// mandatory on Windows.
const lockName = "distill-pending.lock"

// prepareLock keeps a reader from making a lock for a queue that is not there.
func (q *Queue) prepareLock(flag int) error {
	if flag&os.O_CREATE != 0 {
		return nil
	}
	if _, err := q.sp.Root.Lstat(FileName); err != nil {
		return err
	}
	f, err := q.sp.Root.OpenFile(lockName, os.O_RDWR|os.O_CREATE)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func lockedThis(*flock.Flock, *os.File) (bool, error) { return true, nil }
