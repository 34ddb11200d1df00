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
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/internal/filelock"
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

// Whoever asks whether a project is served holds the lock for a moment. So an
// agent believes that there is another one only after trying for a while.
const (
	lockPatience = 500 * time.Millisecond
	lockRetry    = 20 * time.Millisecond
)

const maxHolder = 4096 // bytes

// Holder says who holds the lock of a project, in agent.lock.
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

// HeldError says that another agent serves the project, or that this one serves
// the same directory under another name, SameAs.
type HeldError struct {
	Project string
	Holder  Holder
	SameAs  string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("project %s is served by %v", e.Project, e.Holder)
}

// RunningError says that an agent of this user serves the user's projects.
type RunningError struct{ Holder Holder }

func (e *RunningError) Error() string {
	return fmt.Sprintf("the projects of this user are served by %v; see 'agent status', or name projects with --project DIR", e.Holder)
}

// lock takes the lock in a directory. It returns nothing at all if somebody else
// has it for lockPatience, or if ctx ends.
func lock(ctx context.Context, dir *spoolfiles.Dir, self Holder) (*flock.Flock, error) {
	for deadline := time.Now().Add(lockPatience); ; {
		l, err := tryLock(dir, self)
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", filepath.Join(dir.Path(), holderName), err)
		}
		if l != nil || time.Now().After(deadline) {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(lockRetry):
		}
	}
}

// tryLock makes the lock's file if it is missing, and says in it who holds it.
func tryLock(dir *spoolfiles.Dir, self Holder) (l *flock.Flock, err error) {
	f, err := dir.OpenFile(lockName(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err = filelock.Try(filepath.Join(dir.Path(), lockName()), f.Stat)
	if l == nil {
		return nil, err
	}
	if err := sign(dir, self); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// sign writes who holds the lock, but not to a file that has other names
// elsewhere.
func sign(dir *spoolfiles.Dir, self Holder) error {
	f, err := dir.OpenFile(holderName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := dir.Lstat(holderName)
	switch {
	case err != nil:
		return err
	case !info.Mode.IsRegular() || info.Links > 1:
		return errors.New("is not a plain file with one name; remove it")
	case !info.Ours():
		return &spoolfiles.OwnerError{UID: info.UID}
	}
	line, err := json.Marshal(self)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(line, '\n'), 0)
	}
	return err
}

// holder returns an empty Holder where the file does not tell.
func holder(dir *spoolfiles.Dir) (h Holder) {
	data, _, err := dir.ReadFile(holderName, maxHolder)
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}

// Serving says who serves a spool now; ok is false if nobody does. It goes by
// the lock alone, so an agent that was killed serves nothing. The Holder is
// empty for the moment that an agent needs to write it.
func Serving(sp *spoolfiles.Spool) (h Holder, ok bool, err error) {
	info, err := sp.Root.Lstat(lockName())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode.IsRegular() {
		return Holder{}, false, nil // no agent locks anything but a plain file
	}
	if err == nil {
		ok, err = filelock.Held(filepath.Join(sp.Root.Path(), lockName()), func() {})
	}
	if err != nil || !ok {
		return Holder{}, false, err
	}
	return holder(sp.Root), true, nil
}

// locks are the projects' locks that this agent holds. The methods are safe for
// concurrent use.
type locks struct {
	n    atomic.Int64
	held sync.Map // *flock.Flock, by project
}

// acquire makes this agent the one that serves sp. The error is a *HeldError if
// it is served already.
func (l *locks) acquire(ctx context.Context, sp *spoolfiles.Spool, self Holder) error {
	got, err := lock(ctx, sp.Root, self)
	if err != nil {
		return err
	}
	if got != nil {
		l.n.Add(1)
		l.held.Store(sp.Project, got)
		return nil
	}
	by := &HeldError{Project: sp.Project, Holder: holder(sp.Root)}
	l.held.Range(func(project, _ any) bool {
		if l.valid(project.(string), sp.Project) {
			by.SameAs = project.(string)
		}
		return by.SameAs == ""
	})
	return by
}

// valid reports whether the lock that is held for one project is the one at the
// path of another, or of the same.
func (l *locks) valid(of, at string) bool {
	file, err := os.Lstat(filepath.Join(at, spoolfiles.DirName, lockName()))
	held, ok := l.held.Load(of)
	if err != nil || !ok {
		return false
	}
	locked, err := held.(*flock.Flock).Stat()
	return err == nil && os.SameFile(locked, file)
}

// release gives up the lock of a project, if it is held.
func (l *locks) release(project string) {
	if held, ok := l.held.LoadAndDelete(project); ok {
		l.n.Add(-1)
		held.(*flock.Flock).Unlock() // it closes the file, whatever else goes wrong
	}
}

// userLockRetry is how often a service tries that waits for another agent.
const userLockRetry = time.Second

// lockUser makes this the agent of this user. The error is a *RunningError if
// there is one already; a service waits for it to end. It returns nothing at all
// if ctx ends.
func (a *agent) lockUser(ctx context.Context) (*flock.Flock, error) {
	for waiting := false; ; waiting = true {
		var got *flock.Flock
		dir, err := spoolfiles.OpenDir(a.cfg.StateDir)
		if err == nil {
			got, err = lock(ctx, dir, a.self)
			if err == nil && got == nil {
				err = &RunningError{holder(dir)}
			}
			dir.Close()
		}
		if got != nil || ctx.Err() != nil {
			a.status.update(func(i *Info) { i.Problem = "" })
			return got, nil
		}
		if !a.cfg.Service {
			return nil, err
		}
		if !waiting {
			a.status.update(func(i *Info) { i.Problem = "waiting: " + quote.Error(err) })
			a.cfg.Log.Warn().Err(err).Msg("waiting")
			a.cfg.Supervisor.Ready()
		}
		a.cfg.Supervisor.Alive()
		select {
		case <-ctx.Done():
		case <-time.After(userLockRetry):
		}
	}
}
