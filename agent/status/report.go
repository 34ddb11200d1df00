package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"spoolagent/agent"
	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

const (
	// countPatience is how long a report waits for one project's queue.
	countPatience = time.Second
	// hangPatience is how long it waits for a project's file system.
	hangPatience = 2 * time.Second
	// countAtOnce is how many projects a report counts at a time.
	countAtOnce = 16
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
	// Version and StartedAt (RFC 3339) are its: of the service if it is one of
	// several, else of the one that has run longest. While none runs, Version
	// is Config's.
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
	agents, err := Running(cfg.StateDir)
	if err != nil {
		return Status{}, err
	}
	said := map[string]agent.ProjectState{}
	caps := map[string]int{}
	projects := map[string]bool{}
	for _, p := range cfg.Projects {
		projects[filepath.Clean(p)] = true
	}
	var server *agent.Info
	problem := ""
	for i, a := range agents {
		if a.User && !cfg.Only {
			if server == nil {
				server = &agents[i]
			}
			problem = cmp.Or(problem, a.Problem)
		}
		byPath := map[string]agent.ProjectState{}
		for _, s := range a.Projects {
			byPath[s.Path] = s
		}
		for _, s := range a.Projects {
			if cfg.Only && !projects[s.Path] {
				continue
			}
			if s.SameAs != "" {
				if !cfg.Only {
					delete(projects, s.Path)
					continue
				}
				s.State, s.Error = byPath[s.SameAs].State, byPath[s.SameAs].Error
			}
			projects[s.Path] = true
			if server == nil {
				server = &agents[i]
			}
			// One may wait for another to let go: the other one's word counts.
			if had, ok := said[s.Path]; !ok || had.State == agent.StateHeld {
				said[s.Path], caps[s.Path] = s, a.Cap
			}
		}
	}

	r := Status{Version: cfg.Version, Problem: problem, Projects: make([]ProjectStatus, 0, len(projects))}
	for p := range projects {
		r.Projects = append(r.Projects, ProjectStatus{Path: p, State: agent.StateStopped, Cap: cfg.Options.Cap})
	}
	slices.SortFunc(r.Projects, func(a, b ProjectStatus) int { return strings.Compare(a.Path, b.Path) })

	holders := make([]agent.Holder, len(r.Projects))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(countAtOnce, len(r.Projects)) {
		wg.Go(func() {
			for i := range next {
				p := &r.Projects[i]
				s, known := said[p.Path]
				if known {
					p.State, p.Error, p.Cap = s.State, s.Error, caps[p.Path]
				}
				// It may have begun since it said so.
				if known && s.State == agent.StateStopped {
					p.Error, known = "", false
				}
				holders[i] = p.countOrNot(ctx, cfg.Options, known)
				if p.State == agent.StateStopped && p.Error == "" {
					p.Error = s.Error
				}
			}
		})
	}
	for i := range r.Projects {
		next <- i
	}
	close(next)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return Status{}, context.Cause(ctx)
	}

	if server != nil {
		r.Service = server.Service
		r.identify(server.Holder)
		return r, nil
	}
	// An agent with another state directory is known by its lock only.
	for _, h := range holders {
		if h.PID != 0 {
			r.identify(h)
			break
		}
	}
	return r, nil
}

func (r *Status) identify(h agent.Holder) {
	r.Running, r.PID, r.Version, r.StartedAt = true, h.PID, h.Version, h.StartedAt.Format(time.RFC3339)
}

// countOrNot is count, but does not wait for a file system that does not
// answer: the goroutine that does is left behind.
func (p *ProjectStatus) countOrNot(ctx context.Context, opt queue.Options, known bool) agent.Holder {
	type counted struct {
		ProjectStatus
		holder agent.Holder
	}
	result := make(chan counted, 1)
	go func(c counted) {
		c.holder = c.count(ctx, opt, known)
		result <- c
	}(counted{ProjectStatus: *p})
	select {
	case c := <-result:
		*p = c.ProjectStatus
		return c.holder
	case <-time.After(hangPatience):
		if !known {
			p.State = agent.StateError
		}
		p.fail(fmt.Errorf("not counted, for its file system has not answered for %v", hangPatience))
		p.Advice = "see whether its server can be reached, or unmount it"
		return agent.Holder{}
	}
}

// count fills in what is on the disk. Where no agent has said anything of the
// project, it also finds out the state, and returns who holds it.
func (p *ProjectStatus) count(ctx context.Context, opt queue.Options, known bool) (h agent.Holder) {
	sp, err := spoolfiles.OpenExisting(p.Path)
	defer func() {
		if p.NeedsAttention() {
			p.Advice = advice(p.Path, p.State, err)
		}
	}()
	if err != nil {
		unaware := p.State == agent.StateServing || p.State == agent.StatePolling // no event has told the agent yet
		switch gone := errors.Is(err, fs.ErrNotExist); {
		case gone && (!known || unaware):
			p.State = agent.StateMissing
			p.fail(errors.New(agent.ExplainMissing(p.Path)))
		case !known:
			p.State = agent.StateError
			p.fail(err)
		case p.Error == "":
			p.fail(err)
		}
		p.Uncounted = true
		return h
	}
	defer sp.Close()
	p.Off = sp.Off()
	if !known {
		holder, served, serr := agent.Serving(sp)
		if serr != nil {
			p.fail(serr)
		}
		if served {
			h, p.State = holder, agent.StateServing
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, countPatience, errors.New("another program holds the lock of the queue; its signals are not counted"))
	defer cancel()
	s, err := queue.New(sp, opt, nil).Status(ctx)
	if err != nil {
		p.fail(err)
	}
	p.Queued, p.Incoming, p.Replies, p.Rejected = s.Queued, s.Incoming, s.Replies, s.Rejected
	l := s.Ledger
	p.Ledger = Totals{
		Folded: l.Folded, Returned: l.Returned, External: l.External,
		Drained: l.Drained, Evicted: l.Evicted, Rejected: l.Rejected,
	}
	p.EvictedSinceDrain = l.EvictedSince()
	if !l.LastFoldAt.IsZero() {
		p.LastFoldAt = l.LastFoldAt.Format(time.RFC3339)
	}
	return h
}

// fail adds to what is wrong.
func (p *ProjectStatus) fail(err error) {
	p.Uncounted = true
	text := quote.Error(err)
	switch {
	case p.Error == "":
		p.Error = text
	case !strings.Contains(p.Error, text):
		p.Error += "; " + text
	}
}
