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

	"spoolagent/agent"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// stepPatience is how long an agent may take for one step: many times what it
// takes under load.
const stepPatience = 10 * time.Second

// scratch is how the name of a self-test's project begins.
const scratch = "doctor-"

// IsScratch reports whether a project is that of a self-test that is under way, or
// has just ended.
func IsScratch(project string) bool {
	info, err := os.Stat(project)
	return strings.HasPrefix(filepath.Base(project), scratch) && (err != nil || time.Since(info.ModTime()) < 6*stepPatience)
}

// SelfTest sends a signal through a scratch project that the running agent
// serves, from drop to drain, and says how long that took. However it ends,
// also if ctx does, nothing is left of it.
func SelfTest(ctx context.Context, f Facts) Check {
	if _, running, _ := agent.User(f.StateDir); !running {
		return Check{Name: "selftest", Status: Skipped, Detail: "no agent for all projects of this user is running; to start one: " + ToStart(f.Service)}
	}
	took, err := f.selfTest(ctx, stepPatience)
	switch {
	case err == nil:
		return Check{Name: "selftest", Status: OK, Detail: took}
	case ctx.Err() != nil:
		return Check{Name: "selftest", Status: Skipped, Detail: "interrupted"}
	}
	return Check{Name: "selftest", Status: Failure, Detail: err.Error() + "; the agent's log may say why", Mend: f.toRestart()}
}

// selfTest has so much patience for each of its two steps.
func (f Facts) selfTest(ctx context.Context, patience time.Duration) (took string, err error) {
	id := spoolfiles.NewID()
	project := filepath.Join(f.StateDir, scratch+id)
	if err := os.Mkdir(project, 0o700); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.remove(context.WithoutCancel(ctx), project)) }()
	sp, err := spoolfiles.Create(project)
	if err != nil {
		return "", err
	}
	defer sp.Close()

	tool := "doctor"
	line := string(signal.Signal{RecordedAt: uint64(time.Now().Unix()), CWD: project, ToolName: &tool}.AppendLine(nil))
	began := time.Now()
	_, err = sp.Drop([]byte(line))
	if err == nil {
		_, _, err = f.Registry.Add(project)
	}
	if err == nil {
		err = await(ctx, patience, func() (bool, error) {
			l, err := queue.New(sp, f.Options, nil).Count(ctx)
			return l.Queued == 1, err
		})
	}
	if err != nil {
		return "", fmt.Errorf("not folded: %w", err)
	}
	folded := time.Now()
	err = sp.Control.WriteFile(id+spoolfiles.RequestSuffix, nil, sp.Tmp, false)
	if err == nil {
		err = await(ctx, patience, func() (bool, error) {
			reply, _, err := sp.Control.ReadFile(id+spoolfiles.ReplySuffix, 1<<20)
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			if err == nil && string(reply) != line+"\n" {
				err = fmt.Errorf("the reply is %q, want %q", reply, line)
			}
			return true, err
		})
	}
	if err != nil {
		return "", fmt.Errorf("not drained: %w", err)
	}
	const exact = 10 * time.Microsecond
	return fmt.Sprintf("folded after %v, drained after %v", folded.Sub(began).Round(exact), time.Since(folded).Round(exact)), nil
}

// await polls until something has happened.
func await(ctx context.Context, patience time.Duration, happened func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("waited %v", patience))
	defer cancel()
	for {
		if done, err := happened(); done || err != nil {
			return err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// remove removes a scratch project, also from the registry. The agent stops
// serving it first. One that had just begun to serve it may make a directory
// again while they are removed, so removing is retried.
func (f Facts) remove(ctx context.Context, project string) error {
	_, err := f.Registry.Remove(project)
	return errors.Join(err, await(ctx, stepPatience, func() (bool, error) {
		if sp, err := spoolfiles.OpenExisting(project); err == nil {
			_, served, _ := agent.Serving(sp)
			sp.Close()
			if served {
				return false, nil
			}
		}
		return os.RemoveAll(project) == nil, nil
	}))
}
