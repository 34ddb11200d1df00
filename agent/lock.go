package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// Holder says who serves a project, in agent.lock.
type Holder struct {
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Version   string    `json:"version"`
}

func (h Holder) String() string {
	if h.PID == 0 {
		return "another agent"
	}
	return fmt.Sprintf("another agent (pid %d, since %s, version %s)", h.PID, h.StartedAt.Format(time.RFC3339), quote.Text(h.Version))
}

// HeldError says that another agent serves the project.
type HeldError struct {
	Project string
	Holder  Holder
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("project %s is served by %v", e.Project, e.Holder)
}

// Whoever asks whether a project is served holds the lock for a moment. So an
// agent believes that there is another one only after trying for a while.
const (
	lockPatience = 500 * time.Millisecond
	lockRetry    = 20 * time.Millisecond
)

const maxHolder = 4096 // bytes

// projectLock is the lock on a project's agent.lock.
type projectLock struct {
	lock *flock.Flock
	id   spoolfiles.Identity // of the locked file
}

// lockProject makes the caller the agent that serves sp. The error is a
// *HeldError if another one does.
func lockProject(ctx context.Context, sp *spoolfiles.Spool, me Holder) (*projectLock, error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		l, err := tryLockProject(sp, me)
		if l != nil || err != nil {
			return l, err
		}
		select {
		case <-time.After(lockRetry):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, context.Cause(ctx)
			}
			return nil, &HeldError{Project: sp.Project, Holder: readHolder(sp)}
		}
	}
}

// tryLockProject returns nothing at all if the lock is taken, or if the file
// was replaced meanwhile.
func tryLockProject(sp *spoolfiles.Spool, me Holder) (*projectLock, error) {
	if err := checkLockFiles(sp); err != nil {
		return nil, err
	}
	lock := flock.New(sp.Root.LockPath(lockName),
		flock.SetFlag(os.O_RDWR|os.O_CREATE|spoolfiles.OpenSafely), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, sp.Root.LockError(lockName, err)
	}
	if !ok {
		return nil, nil
	}
	l, err := sign(sp, lock, me)
	if l == nil || err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return l, nil
}

// sign writes into the locked file who holds it.
func sign(sp *spoolfiles.Spool, lock *flock.Flock, me Holder) (*projectLock, error) {
	f, err := sp.Root.OpenFile(holderName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", holderName, err)
	}
	defer f.Close()
	if same, err := lockedThis(lock, f); err != nil || !same {
		return nil, err
	}
	// Again, now that it cannot be a file other than the one that was opened.
	if err := checkLockFiles(sp); err != nil {
		return nil, err
	}
	line, err := json.Marshal(me)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(line, '\n'), 0)
	}
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", holderName, err)
	}
	info, err := sp.Root.Lstat(lockName)
	if err != nil {
		return nil, err
	}
	return &projectLock{lock: lock, id: spoolfiles.Identity{Ino: info.Ino}}, nil
}

// checkLockFiles refuses files that must not be opened or written to.
func checkLockFiles(sp *spoolfiles.Spool) error {
	for _, name := range []string{lockName, holderName} {
		info, err := sp.Root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case !info.Mode.IsRegular() || info.Links > 1:
			err = errors.New("is not a plain file with one name; remove it")
		case !info.Ours():
			err = &spoolfiles.OwnerError{UID: info.UID}
		default:
			continue
		}
		return fmt.Errorf("%s in %s %w", name, sp.Root.Path(), err)
	}
	return nil
}

// valid reports whether the locked file is still the one at the path.
func (l *projectLock) valid(sp *spoolfiles.Spool) bool {
	info, err := sp.Root.Lstat(lockName)
	return err == nil && info.Ino == l.id.Ino
}

func (l *projectLock) release() error { return l.lock.Unlock() }

// Serving says who serves a spool now; ok is false if nobody does. It goes by
// the lock alone, so an agent that was killed serves nothing. The Holder is
// empty for the moment that an agent needs to write it.
func Serving(sp *spoolfiles.Spool) (h Holder, ok bool, err error) {
	info, err := sp.Root.Lstat(lockName)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode.IsRegular() {
		return Holder{}, false, nil // no agent locks anything but a plain file
	}
	if err != nil {
		return Holder{}, false, err
	}
	lock := flock.New(sp.Root.LockPath(lockName), flock.SetFlag(os.O_RDONLY|spoolfiles.OpenSafely))
	free, err := lock.TryRLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Holder{}, false, nil
	case err != nil:
		return Holder{}, false, sp.Root.LockError(lockName, err)
	case free:
		return Holder{}, false, lock.Unlock()
	}
	return readHolder(sp), true, nil
}

// readHolder returns an empty Holder where the file does not tell.
func readHolder(sp *spoolfiles.Spool) Holder {
	var h Holder
	data, _, err := sp.Root.ReadFile(holderName, maxHolder)
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}
