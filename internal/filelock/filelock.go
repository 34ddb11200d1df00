// Package filelock takes flock(2) locks on files that other programs may remove
// or replace at any moment.
package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/spoolfiles"
)

// retry is how often a lock is tried.
const retry = 20 * time.Millisecond

// Try locks the file at path, for which it waits as long as patience. flag is
// os.O_CREATE for a file that is made if it is missing, else 0. It returns nil if
// somebody else has the lock. The error wraps fs.ErrNotExist if the file does not
// exist, or was replaced meanwhile.
func Try(path string, flag int, patience time.Duration) (*flock.Flock, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(retry) {
		lock := flock.New(path, flock.SetFlag(os.O_RDWR|flag|spoolfiles.OpenSafely), flock.SetPermissions(0o600))
		ok, err := lock.TryLock()
		if ok && Valid(lock) {
			return lock, nil
		}
		if ok {
			err = errors.Join(fs.ErrNotExist, lock.Unlock())
		}
		late := !time.Now().Before(deadline)
		switch {
		case err == nil && late:
			return nil, nil
		case err != nil && (late || !errors.Is(err, fs.ErrNotExist)):
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
	}
}

// Valid reports whether a locked file is still the one at its path.
func Valid(lock *flock.Flock) bool {
	there, err := os.Lstat(lock.Path())
	locked, lerr := lock.Stat()
	return err == nil && lerr == nil && os.SameFile(there, locked)
}

// Held reports whether somebody has the lock on the file at path. It asks by a
// shared lock, so that two who ask at once do not take each other for the holder.
func Held(path string) (bool, error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY|spoolfiles.OpenSafely))
	ok, err := lock.TryRLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("locking %s: %w", path, err)
	case !ok:
		return true, nil
	}
	return false, lock.Unlock()
}
