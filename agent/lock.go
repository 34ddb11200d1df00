package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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
const lockPatience = 500 * time.Millisecond

const maxHolder, maxProblem = 64 << 10, 4 << 10 // bytes

// State is what an agent does for a project.
type State string

const (
	StateServing State = "serving" // watched: a drop is folded at once
	StatePolling State = "polling" // scanned every second, for it cannot be watched
	StateMissing State = "missing" // the project, or its .spool, is not there
	StateHeld    State = "held"    // another agent serves the project; this one waits
	StateError   State = "error"   // something is wrong; it is tried again
	StateStopped State = "stopped" // no agent serves the project
)

// NeedsAttention reports whether such a project needs a person: it is
// not served, though it ought to be.
func (s State) NeedsAttention() bool { return s == StateMissing || s == StateError }

// Holder says in agent.lock who holds the lock of a project, or of all projects
// of a user, and how that goes.
type Holder struct {
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Version   string    `json:"version"`
	Service   bool      `json:"service,omitempty"` // run by the OS service
	Project   string    `json:"project,omitempty"` // the path by which the project is served
	Cap       int       `json:"cap"`               // of the queues that the agent keeps
	State     State     `json:"state,omitempty"`   // of the project; "" before the first scan has ended
	Problem   string    `json:"problem,omitempty"` // what is wrong, for people
}

func (h Holder) String() string {
	return fmt.Sprintf("another agent (pid %d, since %s, version %s)", h.PID, h.StartedAt.Format(time.RFC3339), quote.Text(h.Version))
}

// Is reports whether both are of one process.
func (h Holder) Is(other Holder) bool {
	return h.PID == other.PID && h.StartedAt.Equal(other.StartedAt)
}

// HeldError says that another agent has the lock.
type HeldError struct {
	What   string // is served by that agent
	Holder Holder
}

func (e *HeldError) Error() string { return fmt.Sprintf("%s served by %v", e.What, e.Holder) }

// lock takes the lock in a directory, which says what is served, and says in its
// file who holds it. The error is a *HeldError if somebody else has the lock for
// lockPatience.
func lock(dir *spoolfiles.Dir, self Holder, what string) (*flock.Flock, error) {
	l, err := filelock.Try(filepath.Join(dir.Path(), lockName()), os.O_CREATE, lockPatience)
	if err == nil && l == nil {
		err = &HeldError{what, holder(dir)}
	}
	if err != nil {
		return nil, err
	}
	if err := sign(dir, self, os.O_CREATE); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// sign writes who holds the lock, but not to a file that has other names
// elsewhere. What is read meanwhile begins with a whole line, old or new. The file
// is made with os.O_CREATE only: somebody may be deleting the directory.
func sign(dir *spoolfiles.Dir, self Holder, create int) error {
	line, err := json.Marshal(self)
	if err != nil {
		return err
	}
	const block = 512 // so that the size rarely changes
	line = append(line, bytes.Repeat([]byte{' '}, block-1-len(line)%block)...)
	f, err := dir.OpenFile(holderName, os.O_RDWR|create)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := dir.Lstat(holderName)
	if err == nil && info.Links > 1 {
		err = fmt.Errorf("%s has other names; remove it", filepath.Join(dir.Path(), holderName))
	}
	if err == nil {
		_, err = f.WriteAt(append(line, '\n'), 0)
	}
	if err == nil {
		err = f.Truncate(int64(len(line) + 1))
	}
	return err
}

// holder returns an empty Holder where the file does not tell.
func holder(dir *spoolfiles.Dir) (h Holder) {
	data, _, _ := dir.ReadFile(holderName, maxHolder)
	_ = json.NewDecoder(bytes.NewReader(data)).Decode(&h)
	return h
}

// Serving says who serves a spool now, or served it last if ok is false. It goes
// by the lock alone, so an agent that was killed serves nothing. The Holder is
// empty if the file does not tell.
func Serving(sp *spoolfiles.Spool) (h Holder, ok bool, err error) { return heldBy(sp.Root) }

// User returns the agent that serves all projects of this user; ok is false if
// none runs.
func User(stateDir string) (h Holder, ok bool, err error) {
	dir, err := spoolfiles.OpenDir(stateDir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return Holder{}, false, err
	}
	defer dir.Close()
	return heldBy(dir)
}

func heldBy(dir *spoolfiles.Dir) (h Holder, ok bool, err error) {
	ok, err = filelock.Held(filepath.Join(dir.Path(), lockName()))
	return holder(dir), ok, err
}

// tell says what is wrong with the agent as a whole; "" if nothing.
func (a *agent) tell(problem string, cap int) {
	a.mu.Lock()
	a.self.Problem, a.self.Cap = problem, cap
	a.mu.Unlock()
	a.cfg.Notify("STATUS=" + cmp.Or(problem, "serving"))
	if a.userLock == nil {
		return
	}
	if dir, err := spoolfiles.OpenDir(a.cfg.StateDir); err == nil {
		defer dir.Close()
		_ = sign(dir, a.holder(""), 0) // else it says what was before
	}
}

// holder is this agent, as the holder of a project; of the user's lock if that is
// "".
func (a *agent) holder(project string) Holder {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.self
	if h.Project = project; project != "" {
		h.Problem = ""
	}
	return h
}

// lockUser makes this the agent of this user. The error is a *HeldError if there
// is one already; a service waits for it to end. It returns nothing at all if
// ctx ends.
func (a *agent) lockUser(ctx context.Context) (*flock.Flock, error) {
	for waiting := false; ; waiting = true {
		var got *flock.Flock
		dir, err := spoolfiles.OpenDir(a.cfg.StateDir)
		if err == nil {
			got, err = lock(dir, a.holder(""), "the projects of this user are")
			dir.Close()
		}
		switch {
		case ctx.Err() != nil, err == nil:
			return got, nil
		case !a.cfg.Service:
			return nil, fmt.Errorf("%w; see 'agent status', or name projects with --project DIR", err)
		case !waiting:
			a.cfg.Log.Warn().Err(err).Msg("waiting")
			a.cfg.Notify("STATUS=waiting: " + quote.Error(err))
			a.cfg.Notify(notifyReady)
		}
		a.cfg.Notify(notifyAlive)
		select {
		case <-ctx.Done():
		case <-time.After(pollInterval):
		}
	}
}
