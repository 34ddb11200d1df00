package agent

import (
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
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

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

const (
	infoSuffix     = ".json"
	infoLockSuffix = ".lock"
	infoTmpSuffix  = ".tmp"
	maxInfo        = 16 << 20 // bytes
)

const (
	statusPause = 20 * time.Millisecond // the least time between two writings
	statusRetry = time.Second           // after a writing that failed
)

func agentsDir(stateDir string) string { return filepath.Join(stateDir, "agents") }

// statusFile keeps an agent's status file, and beside it a locked file that
// shows that the agent lives. It also keeps the supervisor informed. Its methods
// are safe for concurrent use, but for run and close.
type statusFile struct {
	cfg     Config
	changed chan struct{} // one slot
	checks  chan struct{} // one slot

	mu     sync.Mutex
	self   Info
	states map[string]ProjectState

	// What follows belongs to run.
	stem string // path of both files, without the suffix
	lock *flock.Flock
}

// newStatusFile makes an agent known.
func newStatusFile(cfg Config, self Info) (*statusFile, error) {
	s := &statusFile{
		cfg:     cfg,
		changed: make(chan struct{}, 1),
		checks:  make(chan struct{}, 1),
		self:    self,
		states:  map[string]ProjectState{},
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	if err := s.write(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open makes and locks the files. They get a name that was never used before.
// Between the making of the lock file and its locking, others may take it for a
// dead agent's and remove it; then another name is tried.
func (s *statusFile) open() error {
	dir := agentsDir(s.cfg.StateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w (XDG_STATE_HOME can name another place)", err)
	}
	for range 100 {
		stem := filepath.Join(dir, strconv.Itoa(os.Getpid())+"-"+strconv.FormatUint(rand.Uint64(), 36))
		path := stem + infoLockSuffix
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return fmt.Errorf("locking the agent's status: %w", err)
		}
		lock, err := retryLock(context.Background(), func() (*flock.Flock, error) {
			return tryLock(path, func() (fs.FileInfo, error) { return os.Lstat(path) })
		})
		if err != nil {
			return err
		}
		if lock != nil {
			s.stem, s.lock = stem, lock
			return nil
		}
	}
	return fmt.Errorf("locking the agent's status: files vanish from %s", dir)
}

// valid reports whether the files are still where they belong: somebody may
// have emptied the state directory.
func (s *statusFile) valid() bool {
	there, err := os.Lstat(s.stem + infoLockSuffix)
	if err != nil {
		return false
	}
	locked, err := s.lock.Stat()
	if err != nil || !os.SameFile(there, locked) {
		return false
	}
	_, err = os.Lstat(s.stem + infoSuffix)
	return err == nil
}

// write replaces the status file, all at once.
func (s *statusFile) write() error {
	data, err := json.Marshal(s.info())
	if err != nil {
		return err
	}
	tmp := s.stem + infoTmpSuffix
	err = os.WriteFile(tmp, append(data, '\n'), 0o600)
	if err == nil {
		err = os.Rename(tmp, s.stem+infoSuffix)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("writing the agent's status: %w", err)
	}
	return nil
}

// close removes the files. That others may take the lock file for a leftover
// once it is unlocked, and remove it, is as good.
func (s *statusFile) close() error {
	errs := []error{os.Remove(s.stem + infoSuffix), s.lock.Unlock(), os.Remove(s.stem + infoLockSuffix)}
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, fs.ErrNotExist) })
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing the agent's status: %w", err)
	}
	return nil
}

// run writes the status file whenever something has changed, until ctx ends.
func (s *statusFile) run(ctx context.Context) {
	healthy, said := true, ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-s.checks:
			if s.valid() {
				continue
			}
		}
		began := time.Now()
		var err error
		if !s.valid() {
			s.lock.Unlock()
			err = s.open()
		}
		if err == nil {
			err = s.write()
		}
		if err != nil && healthy {
			s.cfg.Log.Warn().Err(err).Msg("agent status will not show the latest")
		}
		healthy = err == nil
		if line := s.info().line(); line != said {
			s.cfg.Supervisor.Status(line)
			said = line
		}
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
func (s *statusFile) check() { wake(s.checks) }

// problem notes what is wrong with the agent as a whole; "" is nothing.
func (s *statusFile) problem(text string) {
	s.update(func(self *Info) { self.Problem = text })
}

// limit notes the cap in force.
func (s *statusFile) limit(signals int) {
	s.update(func(self *Info) { self.Cap = signals })
}

func (s *statusFile) update(change func(*Info)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.self)
	wake(s.changed)
}

// begin notes a project of which nothing is known yet. It does not have the
// status file written, for more is known at once.
func (s *statusFile) begin(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[path] = ProjectState{Path: path, State: StateStopped, Error: "not begun yet"}
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
	if i.Problem != "" {
		return i.Problem
	}
	served, all := 0, 0
	var worst *ProjectState
	for n, p := range i.Projects {
		if p.SameAs != "" {
			continue
		}
		all++
		switch {
		case p.State == StateServing || p.State == StatePolling || p.State == StateHeld:
			served++
		case worst == nil && p.State.NeedsAttention():
			worst = &i.Projects[n]
		}
	}
	line := fmt.Sprintf("serving %d of %d projects", served, all)
	if worst != nil {
		line += fmt.Sprintf("; %s: %s", quote.Text(worst.Path), worst.Error)
	}
	return line
}

// Running returns the agents of this user that live, the service first, then
// by the time of their start. What dead ones have left is removed. No state
// directory means no agents.
func Running(stateDir string) ([]Info, error) {
	return agents(stateDir, func(e fs.DirEntry, path string) {
		switch filepath.Ext(path) {
		case infoSuffix, infoLockSuffix, infoTmpSuffix:
			if e.Type().IsRegular() {
				os.Remove(path) // it is nobody's loss if it stays
			}
		}
	})
}

// Leftovers is Running for one who only reads: it removes nothing, but also
// returns the paths of what dead agents have left.
func Leftovers(stateDir string) (infos []Info, left []string, err error) {
	infos, err = agents(stateDir, func(_ fs.DirEntry, path string) { left = append(left, path) })
	return infos, left, err
}

// agents calls dead for each file that belongs to no living agent, while no new
// agent can take its lock. Without a lock file there is none either, for an
// agent locks before it writes, under a new name.
func agents(stateDir string, dead func(e fs.DirEntry, path string)) ([]Info, error) {
	dir := agentsDir(stateDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("finding agents: %w", err)
	}
	var infos []Info
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		stem := strings.TrimSuffix(path, filepath.Ext(path))
		lives, err := isHeld(stem+infoLockSuffix, func() { dead(e, path) })
		if err != nil {
			return nil, fmt.Errorf("finding agents: %w", err)
		}
		if !lives || filepath.Ext(path) != infoSuffix {
			continue
		}
		info, err := readInfo(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended just now
		}
		if err != nil {
			return nil, fmt.Errorf("reading the status of an agent: %w", err)
		}
		infos = append(infos, info)
	}
	slices.SortStableFunc(infos, func(a, b Info) int {
		if a.Service != b.Service {
			if a.Service {
				return -1
			}
			return 1
		}
		return a.StartedAt.Compare(b.StartedAt)
	})
	return infos, nil
}

func readInfo(path string) (info Info, err error) {
	fi, err := os.Stat(path)
	if err != nil {
		return info, err
	}
	if fi.Size() > maxInfo {
		return info, fmt.Errorf("%s: %d bytes are too many", path, fi.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}
