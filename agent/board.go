package agent

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// board has the states of an agent's projects, and keeps its status file true.
// Its methods are safe for concurrent use.
type board struct {
	reg     *registration
	pause   time.Duration // the least time between two writings
	self    Info
	changed chan struct{} // one slot

	mu     sync.Mutex
	states map[string]ProjectState
}

func newBoard(reg *registration, pause time.Duration, self Info, projects []string) *board {
	b := &board{reg: reg, pause: pause, self: self, changed: make(chan struct{}, 1), states: map[string]ProjectState{}}
	for _, p := range projects {
		b.states[p] = ProjectState{Path: p, State: StateStopped, Error: "not begun yet"}
	}
	return b
}

// set notes a project's state, and reports whether that is news.
func (b *board) set(s ProjectState) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.states[s.Path] == s {
		return false
	}
	b.states[s.Path] = s
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return true
}

func (b *board) info() Info {
	info := b.self
	b.mu.Lock()
	for _, s := range b.states {
		info.Projects = append(info.Projects, s)
	}
	b.mu.Unlock()
	slices.SortFunc(info.Projects, func(x, y ProjectState) int { return cmp.Compare(x.Path, y.Path) })
	return info
}

// run writes the status file whenever something has changed, until ctx ends.
// failed is told of every write that fails after one that did not.
func (b *board) run(ctx context.Context, failed func(error)) {
	healthy := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.changed:
		}
		err := b.reg.write(b.info())
		if err != nil && healthy {
			failed(err)
		}
		healthy = err == nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(b.pause):
		}
	}
}
