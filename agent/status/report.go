package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	StateDir string        // where agents make themselves known
	Projects []string      // absolute
	Only     bool          // no other projects, though an agent serves them
	Options  queue.Options // Cap is reported
	Version  string        // of this program
}

// Status is how things are. `agent status --json` shows its JSON.
type Status struct {
	// Running: an agent serves one of the projects, or is about to. PID,
	// Version and StartedAt (RFC 3339) are its: of several the one for all
	// projects, else the one that has run longest. While none runs, Version is
	// Config's.
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

// Report reports on the projects that are named and on all that agents of
// this user serve. What cannot be counted within a second is said in the
// project's Error. It makes nothing, but finishes what a crash has left half
// done. The error is of the agents' status files, or ctx's.
func Report(ctx context.Context, cfg Config) (Status, error) {
	r := Status{Version: cfg.Version, Projects: []ProjectStatus{}}
	agents, err := Running(cfg.StateDir)
	if err != nil {
		return r, err
	}
	byPath := map[string]*ProjectStatus{}
	for _, path := range cfg.Projects {
		byPath[path] = &ProjectStatus{Path: path, State: agent.StateStopped, Cap: cfg.Options.Cap}
	}
	for _, a := range agents {
		if a.User && !cfg.Only {
			r.identify(a.Holder, a.Service)
			r.Problem = cmp.Or(r.Problem, a.Problem)
		}
		for _, s := range a.Projects {
			p := byPath[s.Path]
			if p == nil && cfg.Only {
				continue
			}
			r.identify(a.Holder, a.Service)
			if p == nil {
				p = &ProjectStatus{Path: s.Path, State: agent.StateStopped}
				byPath[s.Path] = p
			}
			// One may wait for another to let go: the other one's word counts.
			if !p.said() || p.State == agent.StateHeld {
				p.State, p.Error, p.Cap = s.State, s.Error, a.Cap
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		r.Projects = append(r.Projects, *byPath[path])
	}
	holders := make([]agent.Holder, len(r.Projects))
	patience.Each(len(r.Projects), func(i int) { holders[i] = r.Projects[i].countOrNot(ctx, cfg.Options) })
	if err := ctx.Err(); err != nil {
		return r, context.Cause(ctx)
	}
	// An agent with another state directory is known by its lock only.
	for _, h := range holders {
		if h.PID != 0 {
			r.identify(h, false)
		}
	}
	return r, nil
}

// identify notes which agent runs, if that is not known yet.
func (r *Status) identify(h agent.Holder, service bool) {
	if !r.Running {
		r.Running, r.Service, r.PID, r.Version, r.StartedAt = true, service, h.PID, h.Version, h.StartedAt.Format(time.RFC3339)
	}
}

// said reports whether an agent has said something of the project. That it has
// not begun does not count, for it may have begun since.
func (p *ProjectStatus) said() bool { return p.State != agent.StateStopped }

// countOrNot is count, but does not wait for a file system that does not answer.
func (p *ProjectStatus) countOrNot(ctx context.Context, opt queue.Options) (h agent.Holder) {
	type counted struct {
		ProjectStatus
		holder agent.Holder
	}
	before := *p
	c, ok := patience.Within(ctx, hangPatience, func(ctx context.Context) counted {
		c := counted{ProjectStatus: before}
		c.holder = c.count(ctx, opt)
		return c
	})
	if ok {
		*p = c.ProjectStatus
		return c.holder
	}
	if !p.said() {
		p.State = agent.StateError
	}
	p.fail(fmt.Errorf("not counted, for its file system has not answered for %v", hangPatience))
	p.Advice = "see whether its server can be reached, or unmount it"
	return h
}

// count fills in what is on the disk. Where no agent has said anything of the
// project, it also finds out the state, and returns who holds it.
func (p *ProjectStatus) count(ctx context.Context, opt queue.Options) (h agent.Holder) {
	defer func() {
		switch dir := quote.Shell(p.Path); {
		case p.State == agent.StateMissing:
			p.Advice = "agent remove " + dir + ", if it does not come back"
		case p.NeedsAttention():
			p.Advice = "agent doctor --project " + dir + " looks closer"
		}
	}()
	sp, err := spoolfiles.OpenExisting(p.Path)
	if err != nil {
		if !p.said() {
			p.Error = "" // why it has not begun does not matter any more
		}
		unaware := p.State == agent.StateServing || p.State == agent.StatePolling // no event has told the agent yet
		if gone := errors.Is(err, fs.ErrNotExist); gone && (unaware || !p.said()) {
			p.State, err = agent.StateMissing, errors.New(agent.ExplainMissing(p.Path))
		} else if !p.said() {
			p.State = agent.StateError
		}
		if p.Uncounted = true; p.Error == "" {
			p.fail(err)
		}
		return h
	}
	defer sp.Close()
	p.Off = sp.Off()
	if !p.said() {
		holder, served, err := agent.Serving(sp)
		if err != nil {
			p.fail(err)
		}
		if served {
			h, p.State, p.Error = holder, agent.StateServing, ""
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, countPatience, errors.New("another program holds the lock of the queue; its signals are not counted"))
	defer cancel()
	q := queue.New(sp, opt, nil)
	s, err := q.Status(ctx)
	if err != nil {
		p.fail(err)
	}
	l := s.Ledger
	p.Queued, p.Incoming, p.Replies, p.Rejected = s.Queued, s.Incoming, s.Replies, s.Rejected
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
