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

// selfTest sends a signal through a scratch project that the running agent
// serves, from drop to drain, and says how long each step took. However it ends,
// also if ctx does, nothing is left of it.
func (d *diagnosis) selfTest(ctx context.Context) Check {
	c := Check{Name: "selftest", Status: Skipped, Detail: "no agent for all projects of this user is running"}
	if d.server == nil {
		return c
	}
	t := &selfTest{facts: d.facts, pid: d.server.PID, patience: stepPatience}
	err := t.run(ctx)
	switch {
	case err == nil:
		c.Status, c.Detail = OK, strings.Join(t.steps, "; ")
	case ctx.Err() != nil:
		c.Detail = "interrupted"
	default:
		c.Status, c.Mend = Failure, "see why in the agent's log; "+d.toRestart()
		c.Detail = strings.Join(append(t.steps, err.Error()), "; ")
	}
	return c
}

type selfTest struct {
	facts    Facts
	pid      int           // of the agent
	patience time.Duration // for one step
	steps    []string      // that succeeded, with their times
}

func (t *selfTest) run(ctx context.Context) (err error) {
	id := spoolfiles.NewID()
	project := filepath.Join(t.facts.StateDir, "doctor-"+id)
	if err := os.Mkdir(project, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.remove(context.WithoutCancel(ctx), project)) }()
	sp, err := spoolfiles.Create(project)
	if err != nil {
		return err
	}
	defer sp.Close()

	tool, payload := "doctor", "self-test "+id
	s := signal.Signal{RecordedAt: uint64(time.Now().Unix()), CWD: project, ToolName: &tool, Payload: &payload}
	line := string(s.AppendLine(nil))
	for _, step := range []struct {
		name     string
		do       func() error
		happened func() (bool, error)
	}{
		{"served", func() error {
			_, _, err := t.facts.Registry.Add(project)
			return err
		}, func() (bool, error) {
			h, served, err := agent.Serving(sp)
			return served && h.PID == t.pid, err
		}},
		{"in the queue", func() error {
			_, err := sp.Drop([]byte(line))
			return err
		}, func() (bool, error) {
			l, err := queue.New(sp, t.facts.Options, nil).Count(ctx)
			return l.Queued == 1, err
		}},
		{"answered", func() error {
			return sp.Control.WriteFile(id+spoolfiles.RequestSuffix, nil, sp.Tmp, false)
		}, func() (bool, error) {
			reply, _, err := sp.Control.ReadFile(id+spoolfiles.ReplySuffix, 1<<20)
			if err == nil && string(reply) != line+"\n" {
				err = fmt.Errorf("the reply is %q, want %q", reply, line)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			return true, err
		}},
	} {
		began := time.Now()
		err := step.do()
		if err == nil {
			err = await(ctx, t.patience, step.happened)
		}
		if err != nil {
			return fmt.Errorf("not %s: %w", step.name, err)
		}
		t.steps = append(t.steps, fmt.Sprintf("%s after %v", step.name, time.Since(began).Round(10*time.Microsecond)))
	}
	return nil
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
func (t *selfTest) remove(ctx context.Context, project string) error {
	_, err := t.facts.Registry.Remove(project)
	_ = await(ctx, stepPatience, func() (bool, error) {
		if sp, err := spoolfiles.OpenExisting(project); err == nil {
			_, served, err := agent.Serving(sp)
			sp.Close()
			if served || err != nil {
				return false, err
			}
		}
		return os.RemoveAll(project) == nil, nil
	})
	return errors.Join(err, os.RemoveAll(project))
}
