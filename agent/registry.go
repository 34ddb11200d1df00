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
	Projects []ProjectState `json:"projects"`
}

const (
	infoSuffix     = ".json"
	infoLockSuffix = ".lock"
	maxInfo        = 16 << 20 // bytes
)

func agentsDir(stateDir string) string { return filepath.Join(stateDir, "agents") }

// registration is an agent's status file, and beside it the locked file that
// shows that the agent lives.
type registration struct {
	stem string // path of both, without the suffix
	lock *flock.Flock
}

// register makes a new agent known. The lock file gets a name that was never
// used before, so whoever takes it for a dead agent's, before it is locked, and
// removes it, cannot remove another's.
func register(stateDir string) (*registration, error) {
	dir := agentsDir(stateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
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

// write replaces the status file, all at once.
func (r *registration) write(info Info) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	path := r.stem + infoSuffix
	tmp := r.stem + ".tmp"
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

// close removes the files. The lock goes last: while it is held nobody else
// takes them for leftovers.
func (r *registration) close() error {
	var errs []error
	for _, suffix := range []string{infoSuffix, infoLockSuffix} {
		if err := os.Remove(r.stem + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, r.lock.Unlock())...)
}

// Running returns the agents of this user that live, the service first, then
// by the time of their start. What dead ones have left is removed. No state
// directory means no agents.
func Running(stateDir string) ([]Info, error) {
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
		lives, err := locked(stem + infoLockSuffix)
		if err != nil {
			return nil, fmt.Errorf("looking for agents: %w", err)
		}
		if !lives {
			removeLeftover(e, path)
			continue
		}
		if filepath.Ext(path) != infoSuffix {
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

// removeLeftover removes a file that no living agent owns. Names are never
// used twice, so it cannot be anyone's by now; it is nobody's loss if it stays.
func removeLeftover(e fs.DirEntry, path string) {
	switch filepath.Ext(path) {
	case infoSuffix, infoLockSuffix, ".tmp":
		if e.Type().IsRegular() {
			os.Remove(path)
		}
	}
}

// locked reports whether some process holds the file's lock. It takes a shared
// one, so two who ask at once do not take each other for the agent.
func locked(path string) (bool, error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case free:
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
