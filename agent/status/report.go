package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"spoolagent/agent"
	"spoolagent/internal/patience"
	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

const (
	// countPatience is how long a report waits for one project's queue.
	countPatience = time.Second
	// hangPatience is how long it waits for a project's file system.
	hangPatience = 2 * time.Second
)

// Config says what Report is to report on.
type Config struct {
	StateDir string        // where the agent of this user makes itself known
	Projects []string      // absolute
	Options  queue.Options // Cap is reported
	Version  string        // of this program
}

// Status is how things are. `agent status --json` shows its JSON.
type Status struct {
	// Running: the agent of this user runs, or another one that serves one of
	// the projects. PID, Version and StartedAt (RFC 3339) are its. While
	// none runs, Version is Config's.
	Running   bool            `json:"running"`
	PID       int             `json:"pid"`
	Version   string          `json:"version"`
	StartedAt string          `json:"started_at"`
	Projects  []ProjectStatus `json:"projects"` // by path; never null

	// Problem is what is wrong with an agent as a whole, such as a
	// configuration that it has refused.
	Problem string `json:"problem,omitempty"`
	// Service: the agent of PID was started by the OS service.
	Service bool `json:"-"`
}

// NeedsAttention reports whether something needs a person.
func (s Status) NeedsAttention() bool {
	return s.Problem != "" || slices.ContainsFunc(s.Projects, ProjectStatus.NeedsAttention)
}

// ProjectStatus is how things are with one project. The numbers are counted on
// disk, so they hold whether an agent runs or not.
type ProjectStatus struct {
	Path       string      `json:"path"`
	State      agent.State `json:"state"`
	Queued     int         `json:"queued"`   // signals in the queue
	Incoming   int         `json:"incoming"` // drops that wait
	Replies    int         `json:"replies"`  // replies that nobody has claimed
	Rejected   int         `json:"rejected"` // rejects that are kept
	Cap        int         `json:"cap"`      // 0: none
	Ledger     Totals      `json:"ledger"`
	LastFoldAt string      `json:"last_fold_at"` // RFC 3339; "" if never
	Error      string      `json:"error"`        // what is wrong, in one line; "" if nothing

	LastDrainAt string         `json:"last_drain_at,omitempty"` // RFC 3339; "" if never
	Activity    queue.Activity `json:"activity,omitempty"`      // what came in during the last day, by source

	EvictedSinceDrain int64 `json:"evicted_since_drain,omitempty"` // signals that the cap has pushed out since the last drain

	Off       bool   `json:"off,omitempty"`    // recording is off: hooks store nothing
	Advice    string `json:"advice,omitempty"` // what to do where the project needs attention, in one line
	Uncounted bool   `json:"-"`                // the numbers are incomplete, and Error says why
}

// NeedsAttention reports whether the project needs a person: it is
// not served though it ought to be, or cannot be counted. That a ledger does
// not close is a case of the latter, for it was read under the queue's lock,
// and so not in the middle of a change. Rejects and polling may well be
// somebody's wish.
func (p ProjectStatus) NeedsAttention() bool { return p.State.NeedsAttention() || p.Uncounted }

// Totals is the part of the ledger that a report shows:
// folded + returned + external = queued + drained + evicted.
type Totals struct {
	Folded   int64 `json:"folded"`
	Returned int64 `json:"returned"`
	External int64 `json:"external"`
	Drained  int64 `json:"drained"`
	Evicted  int64 `json:"evicted"`
	Rejected int64 `json:"rejected"`
}

// Report reports on the projects that are named. What cannot be counted within a
// second is said in the project's Error. It makes nothing, but finishes what a
// crash has left half done. The error is of the state directory, or ctx's.
func Report(ctx context.Context, cfg Config) (Status, error) {
	r := Status{Version: cfg.Version, Projects: make([]ProjectStatus, len(cfg.Projects))}
	user, running, err := agent.User(cfg.StateDir)
	if err != nil {
		return r, fmt.Errorf("finding the agent: %w", err)
	}
	if running {
		r.identify(user)
		r.Problem = user.Problem
	} else {
		user = agent.Holder{} // the file outlives its writer
	}
	for i, path := range slices.Sorted(slices.Values(cfg.Projects)) {
		r.Projects[i] = ProjectStatus{Path: path, State: agent.StateStopped, Cap: cfg.Options.Cap}
	}
	holders := make([]agent.Holder, len(r.Projects))
	patience.Each(len(r.Projects), func(i int) { holders[i] = r.Projects[i].countOrNot(ctx, cfg.Options, user) })
	if err := ctx.Err(); err != nil {
		return r, context.Cause(ctx)
	}
	for _, h := range holders {
		if h.PID != 0 {
			r.identify(h)
		}
	}
	return r, nil
}

// identify notes which agent runs, if that is not known yet.
func (r *Status) identify(h agent.Holder) {
	if !r.Running {
		r.Running, r.Service, r.PID, r.Version, r.StartedAt = true, h.Service, h.PID, h.Version, h.StartedAt.Format(time.RFC3339)
	}
}

// countOrNot is count, but does not wait for a file system that does not answer.
func (p *ProjectStatus) countOrNot(ctx context.Context, opt queue.Options, user agent.Holder) agent.Holder {
	type counted struct {
		ProjectStatus
		holder agent.Holder
	}
	before := *p
	c, ok := patience.Within(ctx, hangPatience, func(ctx context.Context) counted {
		c := counted{ProjectStatus: before}
		c.holder = c.count(ctx, opt, user)
		return c
	})
	if ok {
		*p = c.ProjectStatus
		return c.holder
	}
	p.State = agent.StateError
	p.fail(fmt.Errorf("not counted, for its file system has not answered for %v; see whether its server can be reached, or unmount it", hangPatience))
	return agent.Holder{}
}

// count fills in what is on the disk, and returns who serves the project. An agent
// that has few open files does not hold the lock between scans; user is the one
// that is known to run, if there is one.
func (p *ProjectStatus) count(ctx context.Context, opt queue.Options, user agent.Holder) (h agent.Holder) {
	defer func() {
		switch dir := quote.Shell(p.Path); {
		case p.State == agent.StateMissing:
			p.Advice = "agent remove " + dir
		case p.NeedsAttention():
			p.Advice = "agent doctor --project " + dir
		}
	}()
	sp, err := spoolfiles.OpenExisting(p.Path)
	if err != nil {
		p.State = agent.StateError
		if errors.Is(err, fs.ErrNotExist) {
			p.State, err = agent.StateMissing, errors.New(explainMissing(p.Path))
		}
		p.fail(err)
		return h
	}
	defer sp.Close()
	p.Off = sp.Off()
	h, held, err := agent.Serving(sp)
	switch {
	case err != nil:
		p.fail(err)
	case held, h.PID != 0 && h.Is(user) && h.State != agent.StateStopped:
		p.State, p.Error, p.Cap = cmp.Or(h.State, agent.StateServing), h.Problem, h.Cap
		if h.Project != "" && h.Project != p.Path && p.Error == "" {
			p.Error = "the same directory as " + quote.Text(h.Project)
		}
	default:
		h = agent.Holder{} // it has ended
	}
	ctx, cancel := context.WithTimeoutCause(ctx, countPatience, errors.New("another program holds the lock of the queue; its signals are not counted"))
	defer cancel()
	q := queue.New(sp, opt, nil)
	l, err := q.Count(ctx)
	control, cerr := sp.ScanControl()
	errs := [4]error{err, cerr}
	p.Queued, p.Replies = int(l.Queued), len(control.Replies)+len(control.Returning)
	p.Incoming, errs[2] = sp.CountDrops()
	p.Rejected, errs[3] = sp.CountRejects()
	if err := errors.Join(errs[:]...); err != nil {
		p.fail(err)
	}
	p.Ledger = Totals{l.Folded, l.Returned, l.External, l.Drained, l.Evicted, l.Rejected}
	p.EvictedSinceDrain = l.EvictedSince()
	if !l.LastFoldAt.IsZero() {
		p.LastFoldAt = l.LastFoldAt.Format(time.RFC3339)
	}
	if !l.LastDrainAt.IsZero() {
		p.LastDrainAt = l.LastDrainAt.Format(time.RFC3339)
	}
	p.Activity = q.Activity(time.Now())
	return h
}

// fail adds to what is wrong.
func (p *ProjectStatus) fail(err error) {
	p.Uncounted = true
	if text := quote.Error(err); !strings.Contains(p.Error, text) {
		p.Error = strings.TrimPrefix(p.Error+"; "+text, "; ")
	}
}

// explainMissing says what there is not of a project.
func explainMissing(project string) string {
	if info, err := os.Stat(project); err == nil && info.IsDir() {
		return "the project has no .spool; it is served again as soon as one is made (the next hook does)"
	}
	return "the project's directory does not exist"
}
