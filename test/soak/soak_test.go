//go:build linux

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"spoolagent/agent"
	"spoolagent/configs"
)

const (
	projects = 50
	short    = 15 * time.Second // where SPOOL_SOAK does not say how long
	patience = 2 * time.Minute  // for anything that must happen at all
)

// caps are those that the configuration gets, one after another.
var caps = []int{0, 5, 20, 100}

// stage is one run.
type stage struct {
	*testing.T
	dir, agent, hook, config, state string
	projects                        []*project
	counts                          counts
}

func newStage(t *testing.T) *stage {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{
		T:      t,
		dir:    dir,
		agent:  filepath.Join(dir, "agent"),
		hook:   filepath.Join(dir, "hook.sh"),
		config: filepath.Join(dir, "config", "spool-agent", "config.toml"),
		state:  filepath.Join(dir, "state", "spool-agent"),
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", s.agent, "spoolagent/cmd/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	t.Setenv("HOME", dir)
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("CLAUDE_PROJECT_DIR", "")
	for _, d := range []string{filepath.Dir(s.config), filepath.Join(dir, "projects")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.hook, []byte(configs.Hook()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.configure(caps[0])
	for i := range projects {
		p := newProject(fmt.Sprintf("p%02d", i), filepath.Join(dir, "projects", fmt.Sprintf("p%02d", i)))
		if err := os.Mkdir(p.path, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := agent.Register(s.state, p.path); err != nil {
			t.Fatal(err)
		}
		s.projects = append(s.projects, p)
	}
	return s
}

// configure replaces the configuration. Deserted replies return while it lasts.
func (s *stage) configure(cap int) {
	text := fmt.Sprintf("cap = %d\nreply_ttl = \"4s\"\nscan_interval = \"5s\"\nfsync = %v\n", cap, cap == 100)
	tmp := s.config + ".new"
	err := os.WriteFile(tmp, []byte(text), 0o600)
	if err == nil {
		err = os.Rename(tmp, s.config)
	}
	if err != nil {
		s.Error(err)
	}
}

// pause waits for a time, or until ctx ends.
func (s *stage) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// until waits for a condition.
func (s *stage) until(what string, ok func() bool) {
	for deadline := time.Now().Add(patience); !ok(); s.pause(context.Background(), 20*time.Millisecond) {
		if time.Now().After(deadline) {
			s.Errorf("never came true: %s", what)
			return
		}
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

// settle brings every project to rest, with all that it had handed out.
func (s *stage) settle() (all map[string]totals) {
	s.until("every project is at rest", func() bool {
		all = s.status()
		quiet := true
		for _, p := range s.projects {
			if t, ok := all[p.path]; !ok || !t.quiet() {
				quiet = false
				s.drain(p)
			}
		}
		return quiet
	})
	return all
}

func (s *stage) status() map[string]totals {
	out, err := exec.Command(s.agent, "status", "--json").Output()
	var st struct{ Projects []totals }
	if jerr := json.Unmarshal(out, &st); jerr != nil {
		s.Errorf("status: %v, %v: %s", err, jerr, out)
	}
	all := map[string]totals{}
	for _, t := range st.Projects {
		all[t.Path] = t
	}
	return all
}

// registerAll has all projects served, whatever was removed.
func (s *stage) registerAll() {
	for _, p := range s.projects {
		s.command("add", p.path)
	}
}

func TestSoak(t *testing.T) {
	for _, tool := range []string{"go", "flock"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here: %v", tool, err)
		}
	}
	long := short
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
	p, err := s.start()
	if err != nil {
		t.Fatal(err)
	}
	s.registerAll()
	s.settle()
	before := s.rest(p)
	var memory trend
	var peak = before
	s.live(long/3, func(ctx context.Context) { memory, peak = s.sample(ctx, p) })
	s.registerAll()
	all := s.settle()
	after := s.same(p, before)

	for _, p := range s.projects {
		if wrong := p.check(all[p.path]); len(wrong) > 0 {
			t.Errorf("%s, at %s: %q\n%+v", p.name, p.path, wrong, all[p.path])
		}
	}
	goroutines, stacks := s.dump(p)
	// The measure is an agent that has not been through anything.
	fresh, err := s.start()
	if err != nil {
		t.Fatal(err)
	}
	s.rest(fresh)
	few, _ := s.dump(fresh)
	// Of the runtime's own, one or another may not have been needed yet.
	if goroutines > few+5 {
		t.Errorf("%d goroutines serve %d projects at rest, and %d in a new agent:\n%s", goroutines, projects, few, tail(stacks, 2000))
	}
	first, second := memory.halves()
	if second.mean() > first.mean()*1.25+2048 {
		t.Errorf("the agent grows: %.0f KiB in the first half of its life, %.0f in the second: %.0f", first.mean(), second.mean(), memory.ys)
	}
	if left, err := filepath.Glob(filepath.Join(s.state, "agents", "*")); err != nil || len(left) > 2 {
		t.Errorf("agents that were killed have left %q", left)
	}

	c := &s.counts
	signals, delivered := 0, 0
	var sum totals
	for _, p := range s.projects {
		signals += p.next
		for _, fate := range p.past {
			if fate != "deleted with its spool" {
				delivered++
			}
		}
		sum.Ledger.Evicted += all[p.path].Ledger.Evicted
		sum.Ledger.Returned += all[p.path].Ledger.Returned
	}
	t.Logf("%d signals in %d projects: %d handed out, %d evicted from the spools that are left, %d deleted", signals, projects, delivered, sum.Ledger.Evicted, c.excused.Load())
	t.Logf("drops: %d by the hook, %d from Go, %d by agent drop, %d bad", c.hooks.Load(), c.drops.Load(), c.verbs.Load(), c.bad.Load())
	t.Logf("drains: %d agent drain, %d killed, %d without a reader, %d requests (%d withdrawn, %d came too late), %d deserted; %d signals returned",
		c.drains.Load(), c.killed.Load(), c.closed.Load(), c.requests.Load(), c.withdrawn.Load(), c.unclaimed.Load()+c.gaveUp.Load(), c.deserted.Load(), sum.Ledger.Returned)
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
	if len(memory.ys) > 0 {
		t.Logf("  memory: %.0f KiB in the first half, %+.0f a minute; %.0f in the second, %+.0f a minute; all in all %+.0f a minute (%.0f to %.0f)",
			first.mean(), first.slope(), second.mean(), second.slope(), memory.slope(), slices.Min(memory.ys), slices.Max(memory.ys))
	}
}
