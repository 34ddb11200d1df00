//go:build linux && long

package soak

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"spoolagent/configs"
	"spoolagent/internal/agenttest"
)

const (
	projects = 50
	usual    = 10 * time.Minute // where SPOOL_SOAK does not say how long
)

// caps are those that the configuration gets, one after another.
var caps = []int{0, 5, 20, 100}

// stage is one run: a user with an agent and many projects.
type stage struct {
	*agenttest.User
	hook     string
	projects []*project
	counts   counts
}

func newStage(t *testing.T) *stage {
	s := &stage{User: agenttest.NewUser(t)}
	s.hook = filepath.Join(s.Home, "hook.sh")
	agenttest.Write(t, s.hook, configs.Hook())
	s.configure(caps[0])
	for i := range projects {
		name := fmt.Sprintf("p%02d", i)
		p := newProject(name, filepath.Join(s.Home, "projects", name))
		agenttest.Mkdir(t, p.path)
		s.command("add", p.path)
		s.projects = append(s.projects, p)
	}
	return s
}

// configure replaces the configuration. Deserted replies return while it lasts.
func (s *stage) configure(cap int) {
	s.Configure(fmt.Sprintf("cap = %d\nreply_ttl = \"4s\"\nscan_interval = \"5s\"\nfsync = %v\n", cap, cap == 100))
}

// pause waits for a time, or until ctx ends.
func (s *stage) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// live lets everybody do what they do for a time.
func (s *stage) live(d time.Duration, others ...func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var all sync.WaitGroup
	for _, actor := range append([]func(context.Context){
		s.produce, s.produce, s.produce, s.consume, s.consume, s.trespass, s.meddle,
	}, others...) {
		all.Go(func() { actor(ctx) })
	}
	all.Wait()
}

// finish drains until nothing waits in any project.
func (s *stage) finish() (all map[string]agenttest.Project) {
	agenttest.Until(s, "nothing waits in any project", func() bool {
		all = map[string]agenttest.Project{}
		for _, p := range s.Report().Projects {
			all[p.Path] = p
		}
		empty := true
		for _, p := range s.projects {
			if is, ok := all[p.path]; !ok || !is.Empty() {
				empty = false
				s.drain(p)
			}
		}
		return empty
	})
	return all
}

// registerAll has all projects served, whatever was removed.
func (s *stage) registerAll() {
	for _, p := range s.projects {
		s.command("add", p.path)
	}
}

func TestSoak(t *testing.T) {
	agenttest.Tool(t, "flock")
	long := usual
	if text := os.Getenv("SPOOL_SOAK"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SPOOL_SOAK: %v", err)
		}
	}
	s := newStage(t)
	s.live(long*2/3, s.torment)

	// One agent for the rest. What it holds at rest must not depend on what it
	// has been through.
	p := s.start()
	s.registerAll()
	s.finish()
	before := s.idle(p)
	var memory []float64
	var peak = before
	s.live(long/3, func(ctx context.Context) { memory, peak = s.watch(ctx, p) })
	s.registerAll()
	all := s.finish()
	after := s.same(p, before)

	for _, p := range s.projects {
		if wrong := p.check(all[p.path]); len(wrong) > 0 {
			t.Errorf("%s, at %s: %q\n%+v", p.name, p.path, wrong, all[p.path])
		}
	}
	goroutines, stacks := dump(p)
	// The measure is an agent that has not been through anything.
	fresh := s.start()
	s.idle(fresh)
	few, _ := dump(fresh)
	// Of the runtime's own, one or another may not have been needed yet.
	if goroutines > few+5 {
		t.Errorf("%d goroutines serve %d projects at rest, and %d in a new agent:\n%s", goroutines, projects, few, tail(stacks, 2000))
	}
	first, second := mean(memory[:len(memory)/2]), mean(memory[len(memory)/2:])
	if second > first*1.25+2048 {
		t.Errorf("the agent grows: %.0f KiB in the first half of its life, %.0f in the second: %.0f", first, second, memory)
	}
	if left, err := filepath.Glob(filepath.Join(s.State(), "agents", "*")); err != nil || len(left) > 2 {
		t.Errorf("agents that were killed have left %q", left)
	}

	c := &s.counts
	signals, delivered := 0, 0
	evicted, returned := 0, 0
	for _, p := range s.projects {
		signals += p.next
		for _, fate := range p.past {
			if fate != "deleted with its spool" {
				delivered++
			}
		}
		evicted += all[p.path].Ledger.Evicted
		returned += all[p.path].Ledger.Returned
	}
	t.Logf("%d signals in %d projects: %d handed out, %d evicted from the spools that are left, %d deleted", signals, projects, delivered, evicted, c.excused.Load())
	t.Logf("drops: %d by the hook, %d from Go, %d by agent drop, %d bad", c.hooks.Load(), c.drops.Load(), c.verbs.Load(), c.bad.Load())
	t.Logf("drains: %d agent drain, %d killed, %d without a reader, %d requests (%d withdrawn, %d came too late), %d deserted; %d signals returned",
		c.drains.Load(), c.killed.Load(), c.closed.Load(), c.requests.Load(), c.withdrawn.Load(), c.unclaimed.Load()+c.gaveUp.Load(), c.deserted.Load(), returned)
	t.Logf("strangers: %d appends, %d drains", c.appends.Load(), c.foreign.Load())
	t.Logf("agents: %d killed, %d stopped, %d reloads; projects: %d spools deleted, %d put aside, %d projects moved, %d removed",
		c.kills.Load(), c.stops.Load(), c.reloads.Load(), c.deletions.Load(), c.aside.Load(), c.moves.Load(), c.removals.Load())
	t.Logf("the last agent, %v:    %10s %10s %10s", (long / 3).Round(time.Second), "at first", "most", "in the end")
	row := func(what string, a, b, c int) { t.Logf("  %-22s %10d %10d %10d", what, a, b, c) }
	row("resident KiB", before.RSS, peak.RSS, after.RSS)
	row("descriptors", before.Files, peak.Files, after.Files)
	row("watches", before.Watches, peak.Watches, after.Watches)
	row("threads", before.Threads, peak.Threads, after.Threads)
	t.Logf("  %-22s %32d (%d in a new agent)", "goroutines", goroutines, few)
	t.Logf("  memory: %.0f KiB in the first half, %.0f in the second (%.0f to %.0f)", first, second, slices.Min(memory), slices.Max(memory))
}
