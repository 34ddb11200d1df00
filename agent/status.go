package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/internal/filelock"
	"spoolagent/internal/quote"
)

// Info is what a living agent says of itself, in its status file.
type Info struct {
	Holder
	Service  bool           `json:"service"` // run by the OS service
	User     bool           `json:"user"`    // serves what is registered and configured
	Problem  string         `json:"problem"` // what is wrong with the agent as a whole; "" if nothing
	Cap      int            `json:"cap"`     // of the queues it keeps
	Projects []ProjectState `json:"projects"`
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

const (
	statusPause = 20 * time.Millisecond // the least time between two writings
	statusRetry = time.Second           // after a writing that failed
)

// statusFile keeps an agent's status file, and beside it a locked file that
// shows that the agent lives. It also keeps the supervisor informed. Its methods
// are safe for concurrent use, but for run and close.
type statusFile struct {
	cfg     Config
	changed chan struct{} // one slot

	mu     sync.Mutex
	self   Info
	states map[string]ProjectState

	// What follows belongs to run.
	stem    string       // path of both files, without the suffix
	lock    *flock.Flock // nil if there are none
	written []byte
	said    string // to the supervisor
}

// newStatusFile makes an agent known.
func newStatusFile(cfg Config, self Info) (*statusFile, error) {
	s := &statusFile{cfg: cfg, changed: make(chan struct{}, 1), self: self, states: map[string]ProjectState{}}
	if err := s.write(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open makes and locks the files. They get a name that was never used before.
// Between the making of the lock file and its locking, others may take it for a
// dead agent's and remove it; then another name is tried.
func (s *statusFile) open() error {
	dir := filepath.Join(s.cfg.StateDir, AgentsName)
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return fmt.Errorf("making the state directory: %w (XDG_STATE_HOME can name another place)", err)
	}
	var lock *flock.Flock
	for lock == nil && err == nil {
		s.stem = filepath.Join(dir, strconv.Itoa(os.Getpid())+"-"+strconv.FormatUint(rand.Uint64(), 36))
		path := s.stem + LockSuffix
		if err = os.WriteFile(path, nil, 0o600); err == nil {
			lock, err = filelock.Try(path, func() (fs.FileInfo, error) { return os.Lstat(path) })
		}
	}
	if s.lock != nil {
		s.lock.Unlock() // nobody can find that file any more
	}
	s.lock = lock
	return err
}

// valid reports whether the files are where they belong: somebody may have
// emptied the state directory.
func (s *statusFile) valid() bool {
	_, lockErr := os.Lstat(s.stem + LockSuffix)
	_, infoErr := os.Lstat(s.stem + InfoSuffix)
	return s.lock != nil && lockErr == nil && infoErr == nil
}

// write replaces the status file, all at once, unless it is up to date.
func (s *statusFile) write() error {
	info := s.info()
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if valid := s.valid(); valid && bytes.Equal(data, s.written) {
		return nil
	} else if !valid {
		if err := s.open(); err != nil {
			return err
		}
	}
	if line := info.line(); line != s.said {
		s.said = line
		s.cfg.Supervisor.Status(line)
	}
	tmp := s.stem + TmpSuffix
	err = os.WriteFile(tmp, append(data, '\n'), 0o600)
	if err == nil {
		err = os.Rename(tmp, s.stem+InfoSuffix)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("writing the agent's status: %w", err)
	}
	s.written = data
	return nil
}

// close removes the files. Others may take the lock file for a leftover once it
// is unlocked, and remove it.
func (s *statusFile) close() error {
	if s.lock == nil {
		return nil
	}
	os.Remove(s.stem + InfoSuffix)
	err := s.lock.Unlock()
	os.Remove(s.stem + LockSuffix)
	return err
}

// run writes the status file whenever something has changed, until ctx ends.
func (s *statusFile) run(ctx context.Context) {
	for healthy := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		began := time.Now()
		err := s.write()
		if err != nil && healthy {
			s.cfg.Log.Warn().Err(err).Msg("agent status will not show the latest")
		}
		healthy = err == nil
		pause := max(statusPause, 20*time.Since(began)) // with many projects, a writing takes its time
		if !healthy {
			pause = statusRetry
			wake(s.changed)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// check has the status file written again if somebody has removed it.
func (s *statusFile) check() { wake(s.changed) }

// update changes what the agent says of itself.
func (s *statusFile) update(change func(*Info)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.self)
	wake(s.changed)
}

// set notes a project's state, and reports whether that is news.
func (s *statusFile) set(state ProjectState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states[state.Path] == state {
		return false
	}
	s.states[state.Path] = state
	wake(s.changed)
	return true
}

// allHeld returns an error if there are projects, and other agents serve them
// all.
func (s *statusFile) allHeld() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var held []error
	for _, state := range s.states {
		if state.State != StateHeld {
			return nil
		}
		held = append(held, errors.New(state.Error))
	}
	return errors.Join(held...)
}

// remove strikes a project off.
func (s *statusFile) remove(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.states, path)
	wake(s.changed)
}

func (s *statusFile) info() Info {
	s.mu.Lock()
	info := s.self
	info.Projects = make([]ProjectState, 0, len(s.states))
	for _, state := range s.states {
		info.Projects = append(info.Projects, state)
	}
	s.mu.Unlock()
	slices.SortFunc(info.Projects, func(x, y ProjectState) int { return cmp.Compare(x.Path, y.Path) })
	return info
}

// line is how things are, in one line.
func (i Info) line() string {
	served, all, wrong := 0, 0, ""
	for _, p := range i.Projects {
		if p.SameAs != "" {
			continue
		}
		all++
		if p.State == StateServing || p.State == StatePolling || p.State == StateHeld {
			served++
		}
		if p.State.NeedsAttention() && wrong == "" {
			wrong = fmt.Sprintf("; %s: %s", quote.Text(p.Path), p.Error)
		}
	}
	return cmp.Or(i.Problem, fmt.Sprintf("serving %d of %d projects%s", served, all, wrong))
}
