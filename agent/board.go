package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"spoolagent/internal/quote"

	"github.com/rs/zerolog"
)

// board has the states of an agent's projects, and keeps its status file and
// its supervisor informed. Its methods are safe for concurrent use.
type board struct {
	reg        *registration
	pause      time.Duration // the least time between two writings
	log        zerolog.Logger
	supervisor Supervisor
	changed    chan struct{} // one slot
	checks     chan struct{} // one slot

	mu     sync.Mutex
	self   Info
	states map[string]ProjectState
}

func newBoard(reg *registration, cfg Config, self Info) *board {
	return &board{
		reg:        reg,
		pause:      cfg.statusPause,
		log:        cfg.Log,
		supervisor: cfg.Supervisor,
		changed:    make(chan struct{}, 1),
		checks:     make(chan struct{}, 1),
		self:       self,
		states:     map[string]ProjectState{},
	}
}

// poke has the status file written again.
func (b *board) poke() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// check has the status file written again if somebody has removed it.
func (b *board) check() {
	select {
	case b.checks <- struct{}{}:
	default:
	}
}

// problem notes what is wrong with the agent as a whole; "" is nothing.
func (b *board) problem(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.self.Problem != text {
		b.self.Problem = text
		b.poke()
	}
}

// limit notes the cap in force.
func (b *board) limit(signals int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.self.Cap != signals {
		b.self.Cap = signals
		b.poke()
	}
}

// begin notes a project that nothing is known of yet. It does not have the
// status file written, for more is known at once.
func (b *board) begin(path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.states[path] = ProjectState{Path: path, State: StateStopped, Error: "not begun yet"}
}

// remove strikes a project off.
func (b *board) remove(path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.states, path)
	b.poke()
}

// set notes a project's state, and reports whether that is news.
func (b *board) set(s ProjectState) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.states[s.Path] == s {
		return false
	}
	b.states[s.Path] = s
	b.poke()
	return true
}

func (b *board) info() Info {
	b.mu.Lock()
	info := b.self
	for _, s := range b.states {
		info.Projects = append(info.Projects, s)
	}
	b.mu.Unlock()
	slices.SortFunc(info.Projects, func(x, y ProjectState) int { return cmp.Compare(x.Path, y.Path) })
	return info
}

// run writes the status file whenever something has changed, until ctx ends.
func (b *board) run(ctx context.Context) {
	healthy, said := true, ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.changed:
		case <-b.checks:
			if b.reg.valid() {
				continue
			}
		}
		began := time.Now()
		info := b.info()
		err := b.reg.renew()
		if err == nil {
			err = b.reg.write(info)
		}
		if err != nil && healthy {
			b.log.Warn().Err(err).Msg("agent status will not show the latest")
		}
		healthy = err == nil
		if line := info.line(); line != said {
			b.supervisor.Status(line)
			said = line
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(b.pause, 20*time.Since(began))): // with many projects, a write takes its time
		}
	}
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
