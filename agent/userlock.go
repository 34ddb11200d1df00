package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"spoolagent/internal/quote"

	"github.com/gofrs/flock"
)

// RunningError says that an agent of this user serves the user's projects.
type RunningError struct{ Holder Holder }

func (e *RunningError) Error() string {
	return fmt.Sprintf("the projects of this user are served by %v; see 'agent status', or name projects with --project DIR", e.Holder)
}

// userLockRetry is how often a service tries that waits for another agent.
const userLockRetry = time.Second

// lockUser makes this the agent of this user. The error is a *RunningError if
// there is one already; a service waits for it to end. Nothing at all is
// returned if ctx ends.
func (a *agent) lockUser(ctx context.Context) (*flock.Flock, error) {
	for said := false; ; said = true {
		lock, err := tryLockUser(ctx, a.cfg.StateDir)
		if lock != nil || ctx.Err() != nil {
			a.board.problem("")
			return lock, nil
		}
		if err == nil {
			err = &RunningError{userHolder(a.cfg.StateDir)}
		}
		if !a.cfg.Service {
			return nil, err
		}
		if !said {
			a.board.problem("waiting: " + quote.Error(err))
			a.cfg.Log.Warn().Err(err).Msg("waiting")
			a.cfg.Supervisor.Ready()
		}
		a.cfg.Supervisor.Alive()
		select {
		case <-ctx.Done():
		case <-time.After(userLockRetry):
			if a.cfg.Supervisor.AliveEvery() > 0 {
				a.cfg.Supervisor.Alive()
			}
		}
	}
}

// tryLockUser returns nothing if the lock is taken.
func tryLockUser(ctx context.Context, stateDir string) (*flock.Flock, error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	path := filepath.Join(stateDir, lockName)
	for {
		lock := flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o600))
		ok, err := lock.TryLockContext(ctx, lockRetry)
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
			return nil, nil
		case err != nil || !ok:
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		// Somebody may have replaced the file meanwhile.
		there, err := os.Lstat(path)
		if err == nil {
			locked, err := lock.Stat()
			if err == nil && os.SameFile(there, locked) {
				return lock, nil
			}
		}
		if err := lock.Unlock(); err != nil {
			return nil, err
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
	}
}

// userHolder returns an empty Holder if that agent does not say who it is.
func userHolder(stateDir string) Holder {
	infos, err := Running(stateDir)
	if err != nil {
		return Holder{}
	}
	for _, i := range infos {
		if i.User && i.PID != os.Getpid() && i.Problem == "" {
			return i.Holder
		}
	}
	return Holder{}
}
