//go:build unix

package queue

import (
	"errors"
	"io/fs"
	"os"

	"github.com/gofrs/flock"
)

// lockPath is the file that is locked: the queue itself.
func (q *Queue) lockPath(int) (string, error) { return q.path(FileName), nil }

// lockedThis reports whether the lock is on the open file f, and f is what is at
// the path.
func lockedThis(path string, lock *flock.Flock, f *os.File) (bool, error) {
	locked, err := lock.Stat()
	if err != nil {
		return false, err
	}
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(locked, open) && os.SameFile(there, open), nil
}
