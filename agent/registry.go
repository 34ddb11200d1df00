package agent

import (
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

	"github.com/gofrs/flock"
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
	tmpSuffix      = ".tmp"
	maxInfo        = 16 << 20 // bytes
)

func agentsDir(stateDir string) string { return filepath.Join(stateDir, "agents") }

// registration is an agent's status file, and beside it the locked file that
// shows that the agent lives.
type registration struct {
	stem string // path of both, without the suffix
	lock *flock.Flock
}

// register makes a new agent known. Its files get a name that was never used
// before. Between the making of the lock file and its locking, others may take
// it for a dead agent's and remove it; then another name is tried.
func register(stateDir string) (*registration, error) {
	dir := agentsDir(stateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w (XDG_STATE_HOME can name another place)", err)
	}
	for range 100 {
		stem := filepath.Join(dir, strconv.Itoa(os.Getpid())+"-"+strconv.FormatUint(rand.Uint64(), 36))
		lock, err := lockNew(stem + infoLockSuffix)
		if err != nil {
			return nil, fmt.Errorf("locking the agent's status: %w", err)
		}
		if lock != nil {
			return &registration{stem, lock}, nil
		}
	}
	return nil, fmt.Errorf("locking the agent's status: files vanish from %s", dir)
}

// lockNew creates and locks a file; it returns nothing if another process
// removed the file before it was locked.
func lockNew(path string) (*flock.Flock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lock := flock.New(path, flock.SetFlag(os.O_RDWR)) // never creates it
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	if ok, err := lock.TryLockContext(ctx, lockRetry); !ok {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, context.DeadlineExceeded) {
			return nil, nil
		}
		return nil, err
	}
	if there, err := os.Lstat(path); err == nil {
		if locked, err := lock.Stat(); err == nil && os.SameFile(there, locked) {
			return lock, nil
		}
	}
	return nil, lock.Unlock()
}

// valid reports whether the files are still where they belong: somebody may
// have emptied the state directory.
func (r *registration) valid() bool {
	there, err := os.Lstat(r.stem + infoLockSuffix)
	if err != nil {
		return false
	}
	locked, err := r.lock.Stat()
	if err != nil || !os.SameFile(there, locked) {
		return false
	}
	_, err = os.Lstat(r.stem + infoSuffix)
	return err == nil
}

// renew makes the agent known again where it is no longer.
func (r *registration) renew() error {
	if r.valid() {
		return nil
	}
	fresh, err := register(filepath.Dir(filepath.Dir(r.stem)))
	if err != nil {
		return err
	}
	old := *r
	*r = *fresh
	return old.close()
}

// write replaces the status file, all at once.
func (r *registration) write(info Info) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	path := r.stem + infoSuffix
	tmp := r.stem + tmpSuffix
	err = os.WriteFile(tmp, append(data, '\n'), 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("writing the agent's status: %w", err)
	}
	return nil
}

// close removes the files. That others may take the lock file for a leftover
// once it is unlocked, and remove it, is as good.
func (r *registration) close() error {
	errs := []error{os.Remove(r.stem + infoSuffix), r.lock.Unlock(), os.Remove(r.stem + infoLockSuffix)}
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, fs.ErrNotExist) })
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing the agent's status: %w", err)
	}
	return nil
}

// Running returns the agents of this user that live, the service first, then
// by the time of their start. What dead ones have left is removed. No state
// directory means no agents.
func Running(stateDir string) ([]Info, error) {
	return lookForAgents(stateDir, removeLeftover)
}

// Look is Running for one who only reads: it removes nothing, but also returns
// the paths of what dead agents have left.
func Look(stateDir string) (infos []Info, leftovers []string, err error) {
	infos, err = lookForAgents(stateDir, func(_ fs.DirEntry, path string) { leftovers = append(leftovers, path) })
	return infos, leftovers, err
}

// lookForAgents calls dead for each file that belongs to no living agent.
func lookForAgents(stateDir string, dead func(e fs.DirEntry, path string)) ([]Info, error) {
	dir := agentsDir(stateDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for agents: %w", err)
	}
	var infos []Info
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		stem := strings.TrimSuffix(path, filepath.Ext(path))
		lives, err := inspect(stem+infoLockSuffix, func() { dead(e, path) })
		if err != nil {
			return nil, fmt.Errorf("looking for agents: %w", err)
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

// removeLeftover removes a file that no living agent owns. It is nobody's loss
// if it stays.
func removeLeftover(e fs.DirEntry, path string) {
	switch filepath.Ext(path) {
	case infoSuffix, infoLockSuffix, tmpSuffix:
		if e.Type().IsRegular() {
			os.Remove(path)
		}
	}
}

// inspect reports whether an agent holds this lock, and so lives. If not, dead
// is called, while no new agent can take the lock. It is a shared lock that
// keeps it out, so two who ask at once do not take each other for the agent.
func inspect(lockPath string, dead func()) (lives bool, err error) {
	lock := flock.New(lockPath, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dead() // for a new agent locks before it writes, under a new name
		return false, nil
	case err != nil:
		return false, err
	case free:
		dead()
		return false, lock.Unlock()
	}
	return true, nil
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
