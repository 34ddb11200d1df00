//go:build unix

package agent

import (
	"os"

	"github.com/gofrs/flock"
)

const (
	lockName   = "agent.lock" // is locked
	holderName = "agent.lock" // says by whom
)

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
