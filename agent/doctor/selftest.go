package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/agent"
	"spoolagent/agent/status"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

const (
	scratchPrefix = "doctor-"
	scratchLock   = "doctor.lock"

	// stepPatience is how long an agent may take for one step: many times what
	// it takes under load.
	stepPatience = 10 * time.Second
	// cleanPatience is how long the scratch project's removal may take.
	cleanPatience = 5 * time.Second
	// slowest is the longest pause between two looks.
	slowest = 5 * time.Millisecond
	// skew is by how much a file system's clock may be wrong.
	skew = 2 * time.Second
)

// SelfTest sends a signal through a scratch project that the running agent
// serves, from drop to drain, and tells how long each step took. However it
// ends, also if ctx does, nothing is left of it.
func SelfTest(ctx context.Context, f Facts) (check Check) {
	const name = "selftest"
	agents, _, err := status.Leftovers(f.StateDir)
	if err != nil {
		return Check{Name: name, Status: Skipped, Detail: err.Error()}
	}
	server := serverOf(agents)
	if server == nil {
		return Check{Name: name, Status: Skipped, Detail: "no agent for all projects of this user is running"}
	}
	if isStopped(server.PID) {
		return Check{Name: name, Status: Skipped, Detail: "the agent has been stopped by a signal"}
	}
	t := &selfTest{facts: f, pid: server.PID, patience: stepPatience}
	err = t.run(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return Check{Name: name, Status: Skipped, Detail: "interrupted"}
	case err != nil:
		return Check{Name: name, Status: Failure, Detail: t.told(err.Error()),
			Mend: "see why in the agent's log; " + f.toRestart(*server)}
	case t.skew > skew || t.skew < -skew:
		return Check{Name: name, Status: Warning, Detail: t.told(fmt.Sprintf("the file system's clock is wrong by %v", t.skew.Round(time.Second))),
			Mend: "set the clock of the file system's server, or of this machine: timedatectl"}
	}
	return Check{Name: name, Status: OK, Detail: t.told()}
}

type selfTest struct {
	facts    Facts
	pid      int           // of the agent
	patience time.Duration // for one step
	project  string
	sp       *spoolfiles.Spool
	queue    *queue.Queue
	steps    []string      // that succeeded, with their times
	skew     time.Duration // by which the file system's clock is ahead of ours
}

// told are the steps, and what came of it.
func (t *selfTest) told(end ...string) string { return strings.Join(append(t.steps, end...), "; ") }

func (t *selfTest) run(ctx context.Context) (err error) {
	lock, err := lockScratch(ctx, t.facts.StateDir)
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
		defer cancel()
		err = errors.Join(err, t.removeScratch(clean))
		// The file goes before its lock does, for then nobody takes it to be valid.
		os.Remove(lock.Path())
		lock.Unlock()
		os.Remove(lock.Path()) // where what is open cannot be removed
	}()
	if err := t.removeScratch(ctx); err != nil { // of those that were killed
		return err
	}
	id := spoolfiles.NewID()
	t.project = filepath.Join(t.facts.StateDir, scratchPrefix+id)
	if err := os.Mkdir(t.project, 0o700); err != nil {
		return fmt.Errorf("making a scratch project: %w", err)
	}
	if t.sp, err = spoolfiles.Create(t.project); err != nil {
		return fmt.Errorf("making a scratch project: %w", err)
	}
	defer func() { err = errors.Join(err, t.sp.Close()) }()
	made, err := t.sp.Root.Lstat(".gitignore")
	if err != nil {
		return err
	}
	t.skew = time.Until(time.Unix(0, made.MTime))
	t.queue = queue.New(t.sp, t.facts.Options, nil)
	return t.exchange(ctx, id)
}

// exchange is the test proper.
func (t *selfTest) exchange(ctx context.Context, id string) error {
	marker := "self-test " + id
	s := signal.Signal{RecordedAt: uint64(time.Now().Unix()), CWD: t.project, ToolName: text("doctor"), Payload: text(marker)}

	err := t.step(ctx, "served", func() error {
		_, _, err := t.facts.Registry.Add(t.project)
		return err
	}, func() (bool, error) {
		h, served, err := agent.Serving(t.sp)
		return served && h.PID == t.pid, err
	})
	if err != nil {
		return err
	}
	err = t.step(ctx, "in the queue", func() error {
		_, err := t.sp.Drop(s.AppendLine(nil))
		return err
	}, func() (bool, error) {
		n, others := 0, 0
		err := t.queue.Peek(ctx, func(s signal.Signal) error {
			if s.Payload != nil && *s.Payload == marker {
				n++
			} else {
				others++
			}
			return nil
		}, func(int, error) { others++ })
		if others > 0 || n > 1 {
			err = errors.Join(err, fmt.Errorf("the queue has %d signals that were not dropped", others+n-1))
		}
		return n == 1, err
	})
	if err != nil {
		return err
	}
	err = t.step(ctx, "answered", func() error {
		return t.sp.Control.WriteFile(id+spoolfiles.RequestSuffix, nil, t.sp.Tmp, false)
	}, func() (bool, error) { return t.answered(id, string(s.AppendLine(nil))+"\n") })
	if err != nil {
		return err
	}
	return t.step(ctx, "gone", func() error {
		return t.sp.Control.Remove(id + spoolfiles.ReplySuffix)
	}, func() (bool, error) {
		s, err := t.queue.Status(ctx)
		return s.Queued+s.Incoming+s.Replies+s.Rejected == 0 && s.Ledger.Folded == 1 && s.Ledger.Drained == 1, err
	})
}

func text(s string) *string { return &s }

func (t *selfTest) answered(id, want string) (bool, error) {
	const maxReply = 1 << 20
	if line, _, err := t.sp.Control.ReadFile(id+spoolfiles.ErrorSuffix, maxReply); err == nil {
		return false, fmt.Errorf("the agent has refused: %s", strings.TrimSpace(string(line)))
	}
	reply, _, err := t.sp.Control.ReadFile(id+spoolfiles.ReplySuffix, maxReply)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && string(reply) != want {
		err = fmt.Errorf("the answer is %q, and should be %q", reply, want)
	}
	return err == nil, err
}

// step does something, waits until it has had its effect, and notes how long
// that took.
func (t *selfTest) step(ctx context.Context, name string, do func() error, happened func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.patience, fmt.Errorf("waited %v", t.patience))
	defer cancel()
	began := time.Now()
	err := do()
	if err == nil {
		err = await(ctx, happened)
	}
	if err != nil {
		return fmt.Errorf("not %s: %w", name, err)
	}
	t.steps = append(t.steps, fmt.Sprintf("%s after %v", name, time.Since(began).Round(10*time.Microsecond)))
	return nil
}

// await looks again and again, less and less often, until something has happened.
func await(ctx context.Context, happened func() (bool, error)) error {
	for nap := 100 * time.Microsecond; ; nap = min(nap*5/4, slowest) {
		if done, err := happened(); done || err != nil {
			return err
		}
		select {
		case <-time.After(nap):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// lockScratch makes this the only self-test in a state directory.
func lockScratch(ctx context.Context, stateDir string) (*flock.Flock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 6*stepPatience, errors.New("another one does not come to its end"))
	defer cancel()
	path := filepath.Join(stateDir, scratchLock)
	for {
		lock := flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE|spoolfiles.OpenSafely), flock.SetPermissions(0o600))
		ok, err := lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if ok {
			locked, err := lock.Stat()
			there, lerr := os.Lstat(path)
			if err == nil && lerr == nil && os.SameFile(locked, there) {
				return lock, nil
			}
			lock.Unlock() // it was the one of a test that has ended
		}
		select {
		case <-time.After(slowest):
		case <-ctx.Done():
			return nil, fmt.Errorf("locking %s: %w", path, context.Cause(ctx))
		}
	}
}

// removeScratch removes every scratch project, also from the registry. The
// caller has the lock.
func (t *selfTest) removeScratch(ctx context.Context) error {
	var errs []error
	stateDir := t.facts.StateDir
	all, err := t.facts.Registry.List()
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Err == nil && filepath.Dir(r.Path) == filepath.Clean(stateDir) && strings.HasPrefix(filepath.Base(r.Path), scratchPrefix) {
			if _, err := t.facts.Registry.Remove(r.Path); err != nil {
				errs = append(errs, err)
			}
		}
	}
	entries, err := os.ReadDir(stateDir)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), scratchPrefix) || !e.IsDir() {
			continue
		}
		path := filepath.Join(stateDir, e.Name())
		// The agent lets go of it first; one that does not will find it gone.
		if sp, err := spoolfiles.OpenExisting(path); err == nil {
			await(ctx, func() (bool, error) {
				_, served, err := agent.Serving(sp)
				return !served, err
			})
			sp.Close()
		}
		if err := os.RemoveAll(path); err != nil {
			errs = append(errs, fmt.Errorf("removing a scratch project: %w", err))
		}
	}
	return errors.Join(errs...)
}
