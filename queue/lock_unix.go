//go:build unix

package queue

import (
	"os"

	"github.com/gofrs/flock"
)

// lockName is the file that is locked: the queue itself.
const lockName = FileName

func (q *Queue) prepareLock(int) error { return nil }

// lockedThis reports whether the lock is on the open file f, and not on one
// that was at the same path before.
func lockedThis(lock *flock.Flock, f *os.File) (bool, error) {
	locked, err := lock.Stat()
	if err != nil {
		return false, err
	}
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(locked, open), nil
}
