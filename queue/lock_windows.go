package queue

import (
	"os"

	"github.com/gofrs/flock"
)

// lockName is the file that is locked: one beside the queue, for locks are
// mandatory on Windows.
const lockName = "distill-pending.lock"

// lockPath makes the file that is locked, if it is missing.
func (q *Queue) lockPath(int) (string, error) {
	f, err := q.sp.Root.OpenFile(lockName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return "", err
	}
	return q.path(lockName), f.Close()
}

func lockedThis(string, *flock.Flock, *os.File) (bool, error) { return true, nil }
