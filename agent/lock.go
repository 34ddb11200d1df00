package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// holderName is the file in which an agent says who it is.
const holderName = "agent.lock"

// lockName returns the file that is locked: the same, but where locks are
// mandatory, and nobody could read a locked file.
func lockName() string {
	if runtime.GOOS == "windows" {
		return holderName + ".held"
	}
	return holderName
}

func lockPath(project string) string {
	return filepath.Join(project, spoolfiles.DirName, lockName())
}

// Whoever asks whether a project is served holds the lock for a moment. So an
// agent believes that there is another one only after trying for a while.
const (
	lockPatience = 500 * time.Millisecond
	lockRetry    = 20 * time.Millisecond
)

const maxHolder = 4096 // bytes

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

// aliasError says that this agent serves the same directory under another name.
type aliasError struct{ project string }

func (e *aliasError) Error() string { return "the directory is served as " + quote.Text(e.project) }

// tryLock locks a file that exists. It returns nothing at all if the lock is
// taken, or if the file is not, or no longer, the one that current describes.
func tryLock(path string, current func() (fs.FileInfo, error)) (*flock.Flock, error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDWR|spoolfiles.OpenSafely))
	ok, err := lock.TryLock()
	if errors.Is(err, fs.ErrNotExist) || err == nil && !ok {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	want, err := current()
	if err == nil {
		var locked fs.FileInfo
		if locked, err = lock.Stat(); err == nil && os.SameFile(want, locked) {
			return lock, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return nil, errors.Join(err, lock.Unlock())
}

// retryLock calls try until it returns a lock or an error. After lockPatience,
// or when ctx ends, it returns nothing.
func retryLock(ctx context.Context, try func() (*flock.Flock, error)) (*flock.Flock, error) {
	for deadline := time.Now().Add(lockPatience); ; {
		lock, err := try()
		if lock != nil || err != nil || time.Now().After(deadline) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(lockRetry):
		}
	}
}

// locks are the locks on agent.lock files that this agent holds.
type locks struct {
	max int // there are no more, so that descriptors are left for all else

	mu   sync.Mutex
	held map[string]heldLock // by project
}

type heldLock struct {
	lock *flock.Flock
	file fs.FileInfo // the locked file
}

// acquire makes this agent the one that serves sp. The error is a *HeldError if
// another one does, and an *aliasError if this one does so under another name.
func (l *locks) acquire(ctx context.Context, sp *spoolfiles.Spool, self Holder) error {
	l.mu.Lock()
	full := len(l.held) >= l.max
	l.mu.Unlock()
	if full {
		return fmt.Errorf("%d projects are served, and open files are needed for all else; raise their limit: ulimit -n", l.max)
	}
	lock, err := retryLock(ctx, func() (*flock.Flock, error) {
		lock, err := lockSpool(sp, self)
		if other := l.project(sp); lock == nil && err == nil && other != "" {
			return nil, &aliasError{other}
		}
		return lock, err
	})
	if err != nil {
		return err
	}
	if lock == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &HeldError{Project: sp.Project, Holder: readHolder(sp)}
	}
	file, err := lock.Stat()
	if err != nil {
		return errors.Join(err, lock.Unlock())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[sp.Project] = heldLock{lock, file}
	return nil
}

// project returns the project under which this agent serves sp, or "".
func (l *locks) project(sp *spoolfiles.Spool) string {
	file, err := os.Lstat(lockPath(sp.Project))
	if err != nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for project, h := range l.held {
		if os.SameFile(h.file, file) {
			return project
		}
	}
	return ""
}

// valid reports whether the lock of a project is held, and still on the file at
// its path.
func (l *locks) valid(project string) bool {
	file, err := os.Lstat(lockPath(project))
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.held[project]
	return ok && err == nil && os.SameFile(h.file, file)
}

// release gives up the lock of a project, if it is held.
func (l *locks) release(project string) error {
	l.mu.Lock()
	h, ok := l.held[project]
	delete(l.held, project)
	l.mu.Unlock()
	if !ok {
		return nil
	}
	return h.lock.Unlock()
}

// lockSpool is tryLock for a spool's lock file, which it makes if it is missing,
// and in which it then says who holds it.
func lockSpool(sp *spoolfiles.Spool, self Holder) (lock *flock.Flock, err error) {
	f, err := sp.Root.OpenFile(lockName(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	path := lockPath(sp.Project)
	lock, err = tryLock(path, f.Stat)
	if lock == nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("locking %s: %w", path, err), lock.Unlock())
			lock = nil
		}
	}()
	if lockName() != holderName {
		if f, err = sp.Root.OpenFile(holderName, os.O_RDWR|os.O_CREATE); err != nil {
			return lock, err
		}
		defer f.Close()
	}
	// Nothing is written to a file that has other names elsewhere.
	info, err := sp.Root.Lstat(holderName)
	switch {
	case err != nil:
		return lock, err
	case !info.Mode.IsRegular() || info.Links > 1:
		return lock, errors.New("is not a plain file with one name; remove it")
	case !info.Ours():
		return lock, &spoolfiles.OwnerError{UID: info.UID}
	}
	line, err := json.Marshal(self)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(line, '\n'), 0)
	}
	return lock, err
}

// Serving says who serves a spool now; ok is false if nobody does. It goes by
// the lock alone, so an agent that was killed serves nothing. The Holder is
// empty for the moment that an agent needs to write it.
func Serving(sp *spoolfiles.Spool) (h Holder, ok bool, err error) {
	info, err := sp.Root.Lstat(lockName())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode.IsRegular() {
		return Holder{}, false, nil // no agent locks anything but a plain file
	}
	if err != nil {
		return Holder{}, false, err
	}
	taken, err := isHeld(lockPath(sp.Project), func() {})
	if err != nil || !taken {
		return Holder{}, false, err
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

// isHeld reports whether somebody holds the lock on a file. It asks by a
// shared lock, so that two who ask at once do not take each other for the
// holder. If nobody does, whenFree is called while nobody can take the lock.
func isHeld(path string, whenFree func()) (bool, error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY|spoolfiles.OpenSafely))
	free, err := lock.TryRLock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("locking %s: %w", path, err)
	}
	if err == nil && !free {
		return true, nil
	}
	whenFree()
	return false, lock.Unlock()
}

// RunningError says that an agent of this user serves the user's projects.
type RunningError struct{ Holder Holder }

func (e *RunningError) Error() string {
	return fmt.Sprintf("the projects of this user are served by %v; see 'agent status', or name projects with --project DIR", e.Holder)
}

// userLockRetry is how often a service tries that waits for another agent.
const userLockRetry = time.Second

// lockUser makes this the agent of this user. The error is a *RunningError if
// there is one already; a service waits for it to end. It returns nothing at all
// if ctx ends.
func (a *agent) lockUser(ctx context.Context) (*flock.Flock, error) {
	for waiting := false; ; waiting = true {
		lock, err := retryLock(ctx, a.tryLockUser)
		if lock != nil || ctx.Err() != nil {
			a.status.problem("")
			return lock, nil
		}
		if err == nil {
			err = &RunningError{userHolder(a.cfg.StateDir)}
		}
		if !a.cfg.Service {
			return nil, err
		}
		if !waiting {
			a.status.problem("waiting: " + quote.Error(err))
			a.cfg.Log.Warn().Err(err).Msg("waiting")
			a.cfg.Supervisor.Ready()
		}
		if !waiting || a.cfg.Supervisor.AliveEvery() > 0 {
			a.cfg.Supervisor.Alive()
		}
		select {
		case <-ctx.Done():
		case <-time.After(userLockRetry):
		}
	}
}

func (a *agent) tryLockUser() (*flock.Flock, error) {
	path := filepath.Join(a.cfg.StateDir, holderName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|spoolfiles.OpenSafely, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return tryLock(path, func() (fs.FileInfo, error) { return os.Lstat(path) })
}

// userHolder returns an empty Holder if that agent does not say who it is.
func userHolder(stateDir string) Holder {
	infos, _ := Running(stateDir)
	for _, i := range infos {
		if i.User && i.PID != os.Getpid() && i.Problem == "" {
			return i.Holder
		}
	}
	return Holder{}
}
