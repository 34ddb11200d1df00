package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/internal/filelock"
	"spoolagent/spoolfiles"
)

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

// ProjectState is what an agent says of one of its projects.
type ProjectState struct {
	Path  string `json:"path"` // of the project's directory, absolute
	State State  `json:"state"`
	Error string `json:"error"` // why the state is not Serving, for people; else ""

	// SameAs is another path of the same directory, under which this agent
	// serves it; "" if there is none.
	SameAs string `json:"same_as,omitempty"`
}

// Info is what a living agent says of itself, in its status file.
type Info struct {
	Holder
	Service  bool           `json:"service"` // run by the OS service
	User     bool           `json:"user"`    // serves what is registered and configured
	Problem  string         `json:"problem"` // what is wrong with the agent as a whole; "" if nothing
	Cap      int            `json:"cap"`     // of the queues it keeps
	Projects []ProjectState `json:"projects"`
}

// line is how things are, in one line.
func (i Info) line() string {
	served := 0
	for _, p := range i.Projects {
		if p.SameAs != "" || p.State != StateStopped && !p.State.NeedsAttention() {
			served++
		}
	}
	return cmp.Or(i.Problem, fmt.Sprintf("serving %d of %d projects", served, len(i.Projects)))
}

// What an agent says of itself is in the state directory, in
// AgentsName/NAME+InfoSuffix, and it lives for as long as it holds the lock on
// AgentsName/NAME+LockSuffix.
const (
	AgentsName = "agents"
	InfoSuffix = ".json"
	LockSuffix = ".lock"
	TmpSuffix  = ".tmp"
)

// statusPause is the least time between two writings.
const statusPause = 20 * time.Millisecond

// statusFile is an agent's status file, and beside it a locked file that shows
// that the agent lives.
type statusFile struct {
	dir     string
	stem    string       // path of both files, without the suffix
	lock    *flock.Flock // nil if there are none
	written []byte
}

// open makes and locks the files. They get a name that was never used before.
// Between the making of the lock file and its locking, others may take it for a
// dead agent's and remove it; then another name is tried.
func (s *statusFile) open() error {
	err := os.MkdirAll(s.dir, 0o700)
	if err != nil {
		return fmt.Errorf("making the state directory: %w (XDG_STATE_HOME can name another place)", err)
	}
	s.close() // nobody can find these files any more
	for s.lock == nil && err == nil {
		s.stem = filepath.Join(s.dir, spoolfiles.NewID())
		if err = os.WriteFile(s.stem+LockSuffix, nil, 0o600); err == nil {
			s.lock, err = filelock.Try(s.stem + LockSuffix)
		}
	}
	return err
}

// write replaces the status file, all at once, unless it is up to date. Somebody
// may have emptied the state directory.
func (s *statusFile) write(data []byte) error {
	if s.lock == nil || !filelock.Valid(s.lock) {
		if err := s.open(); err != nil {
			return err
		}
	} else if bytes.Equal(data, s.written) {
		return nil
	}
	err := os.WriteFile(s.stem+TmpSuffix, data, 0o600)
	if err == nil {
		err = os.Rename(s.stem+TmpSuffix, s.stem+InfoSuffix)
	}
	if err != nil {
		return fmt.Errorf("writing the agent's status: %w", err)
	}
	s.written = data
	return nil
}

// close removes the files. Others may take the lock file for a leftover once it
// is unlocked, and remove it.
func (s *statusFile) close() {
	if s.lock == nil {
		return
	}
	os.Remove(s.stem + TmpSuffix)
	os.Remove(s.stem + InfoSuffix)
	s.lock.Unlock() // it closes the file, whatever else goes wrong
	os.Remove(s.stem + LockSuffix)
	s.lock = nil
}

// keepStatus writes the status file whenever something has changed, until ctx
// ends. What fails is tried again with the next change, or when the sources are
// listed.
func (a *agent) keepStatus(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.news:
		}
		began := time.Now()
		if err := a.writeStatus(); err != nil {
			a.cfg.Log.Warn().Err(err).Msg("agent status will not show the latest")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(statusPause, 20*time.Since(began))): // with many projects, a writing takes its time
		}
	}
}

// writeStatus tells everybody how things are.
func (a *agent) writeStatus() error {
	info := a.snapshot()
	a.cfg.Notify("STATUS=" + info.line())
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return a.status.write(append(data, '\n'))
}

// snapshot returns what the agent says of itself now.
func (a *agent) snapshot() Info {
	a.mu.Lock()
	info := a.info
	info.Projects = make([]ProjectState, 0, len(a.workers))
	for _, w := range a.workers {
		info.Projects = append(info.Projects, w.state)
	}
	a.mu.Unlock()
	slices.SortFunc(info.Projects, func(x, y ProjectState) int { return cmp.Compare(x.Path, y.Path) })
	return info
}

// update changes what the agent says of itself.
func (a *agent) update(change func(*Info)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.info)
	wake(a.news)
}
