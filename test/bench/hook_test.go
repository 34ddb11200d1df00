//go:build linux

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spoolagent/internal/agenttest"
)

// hooks measures the installed hook beside the original's, if there is one. Both
// run as a tool runs them, while the agent serves our project.
func hooks(b *testing.B, dir, original string) {
	agenttest.Hook(b) // from beside the agent it is installed
	u := agenttest.NewUserIn(b, dir)
	u.Do(u.Agent("hooks", "install", "claude"))
	ours := &hook{u, u.Project("ours"), installed(u)}
	theirs := &hook{u, u.Project("theirs"), original}
	agent := u.Run("--log-level", "error")
	defer agent.Stop() // before its directories are removed: it would make some anew
	ours.flood(1, 1)   // it registers the project
	agenttest.Until(b, "the project is served", func() bool { return u.States()["serving"] == 1 })

	for _, load := range []struct {
		atOnce, each int
		most         float64 // times the original's median
	}{{1, 50, 1.25}, {8, 20, 1.25}, {16, 10, 1.35}} {
		before := ours.stored()
		var our, their runs
		var cpu, wall time.Duration
		for range times(20, 2) {
			start, did := time.Now(), activity(b, agent)
			our.add(ours.flood(load.atOnce, load.each))
			cpu += activity(b, agent).CPU - did.CPU
			wall += time.Since(start)
			ours.stored() // so that nothing is left to do for the agent
			if original != "" {
				their.add(theirs.flood(load.atOnce, load.each))
			}
		}
		our.failed = max(our.failed, len(our.took)-(ours.stored()-before))
		name := fmt.Sprintf("the installed hook, %d at once", load.atOnce)
		if original == "" {
			printRow(name, short(our.percentile(50)), "", "", "", "")
		} else {
			atMost(name+" (the original's)", our.percentile(50), their.percentile(50), load.most)
			if load.atOnce > 1 {
				atMost("  99th percentile", our.percentile(99), their.percentile(99), 1.1)
			}
		}
		printRow("  failed", &our, &their, "", "none of ours", verdict(float64(our.failed), 0))
		if load.atOnce == 16 {
			share := 100 * float64(cpu) / float64(wall) / float64(runtime.NumCPU())
			printRow("  the agent's share of the processors", fmt.Sprintf("%.1f %%", share), "", "", "at most 8 %", verdict(share, 8))
		}
	}
}

// runs are what runs of a hook took, and how many of them failed.
type runs struct {
	took   []time.Duration
	failed int
}

func (r *runs) add(more runs) {
	r.took = append(r.took, more.took...)
	r.failed += more.failed
}

func (r *runs) percentile(p int) time.Duration {
	slices.Sort(r.took)
	return r.took[len(r.took)*p/100]
}

func (r *runs) String() string {
	if len(r.took) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", r.failed, len(r.took))
}

// installed is the command that "agent hooks install claude" has put into the
// settings.
func installed(u *agenttest.User) string {
	var settings struct {
		Hooks map[string][]struct{ Hooks []struct{ Command string } }
	}
	if err := json.Unmarshal([]byte(agenttest.Read(u, u.Home, ".claude", "settings.json")), &settings); err != nil {
		u.Fatal(err)
	}
	return settings.Hooks["PostToolUse"][0].Hooks[0].Command
}

// hook is a command that a tool runs as its hook in a project.
type hook struct {
	user             *agenttest.User
	project, command string
}

func (h *hook) run() error {
	cmd := h.user.Command("sh", "-c", h.command)
	cmd.Dir = h.project
	cmd.Env = append(cmd.Env, "CLAUDE_PROJECT_DIR="+h.project)
	cmd.Stdin = strings.NewReader(event)
	return cmd.Run()
}

// flood runs so many hooks at once, and each so often without a pause.
func (h *hook) flood(atOnce, each int) (r runs) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for range each {
				start := time.Now()
				err := h.run()
				took := time.Since(start)
				mu.Lock()
				r.took = append(r.took, took)
				if err != nil {
					r.failed++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return r
}

// stored waits until the agent has folded all drops, and returns how many there
// have been.
func (h *hook) stored() int {
	var p agenttest.Project
	agenttest.Until(h.user, "all drops are folded", func() bool {
		if len(agenttest.List(h.user, spool(h.project, "incoming"))) > 0 {
			return false
		}
		p = h.user.ProjectStatus(h.project)
		return p.Incoming == 0
	})
	return p.Ledger.Folded
}

func activity(b *testing.B, agent *agenttest.Process) agenttest.Activity {
	a, err := agenttest.Watch(agent.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

func spool(project, dir string) string { return filepath.Join(project, ".spool", dir) }

// start measures what it takes to start spool-hook, which also drops an event.
func start(b *testing.B, dir string) {
	agenttest.Write(b, filepath.Join(dir, "empty.go"), "package main\n\nfunc main() {}\n")
	empty := filepath.Join(dir, "empty")
	if err := agenttest.Build(empty, filepath.Join(dir, "empty.go"), "-trimpath", "-ldflags=-s -w"); err != nil {
		b.Fatal(err)
	}
	u := agenttest.NewUserIn(b, dir)
	project := u.Project("project")
	program := agenttest.Hook(b)
	m := inTurns(times(500, 50),
		func() time.Duration { return run(b, in(project, u.Command(program, "claude")), event) },
		func() time.Duration { return run(b, in(project, u.Command(empty)), event) })
	atMost("spool-hook (an empty Go program)", m[0], m[1], 1.35)
}

// quotes measures an event that is large, and slow to scan.
func quotes(b *testing.B, dir string) {
	u := agenttest.NewUserIn(b, dir)
	project := u.Project("project")
	large := `{"hook_event_name":"PostToolUse","tool_response":"` + strings.Repeat(`\"`, 10<<20) + `"}`
	program := agenttest.Hook(b)
	m := inTurns(times(20, 3),
		func() time.Duration {
			took := run(b, in(project, u.Command(program, "claude")), large)
			names := agenttest.List(b, spool(project, "incoming"))
			if len(names) != 1 {
				b.Fatalf("%d drops, want 1", len(names))
			}
			takeAway(b, filepath.Join(spool(project, "incoming"), names[0]), len(large))
			return took
		},
		func() time.Duration {
			path := filepath.Join(project, "cat")
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			cat := u.Command("cat")
			cat.Stdout = f
			took := run(b, cat, large)
			takeAway(b, path, len(large))
			return took
		})
	atMost("20 MB of quotes, spool-hook (cat)", m[0], m[1], 2)
}

// takeAway removes a file, which must be of this size.
func takeAway(b *testing.B, path string, size int) {
	info, err := os.Stat(path)
	if err == nil && info.Size() != int64(size) {
		err = fmt.Errorf("%s has %d bytes, want %d", path, info.Size(), size)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// in has a command run in a directory.
func in(dir string, cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = dir
	return cmd
}

// run runs a command, which must succeed, and returns how long it took.
func run(b *testing.B, cmd *exec.Cmd, stdin string) time.Duration {
	cmd.Stdin = strings.NewReader(stdin)
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		b.Fatalf("%q: %v", cmd.Args, err)
	}
	return took
}
