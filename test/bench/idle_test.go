//go:build linux

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"spoolagent/agent"
	"spoolagent/agent/status"
	"spoolagent/internal/agenttest"
)

// What an idle agent uses is measured over two of its safety scans, and the
// runtime's garbage collection, which comes every two minutes. BENCHFLAGS=-short
// looks at its memory only.
const (
	idleWindow = 2 * time.Minute
	idleAtMost = 5 // wake-ups a minute, not quite
)

// stillness is how long nothing must have happened for what comes next to be
// another wake-up: twice the pause after which the runtime's monitor looks
// again while something goes on.
const stillness = 20 * time.Millisecond

// idler is an agent that has nothing to do for its projects.
type idler struct {
	projects int
	cmd      *exec.Cmd
	state    string

	wakeUps int
	did     agenttest.Activity
}

func newIdler(b *testing.B, dir, program string, projects int) *idler {
	home := mkdir(b, dir, fmt.Sprintf("home-%d", projects))
	i := &idler{
		projects: projects,
		cmd:      command(home, "", []string{"XDG_STATE_HOME=" + home, "XDG_CONFIG_HOME=" + home}, program, "run", "--log-level", "error"),
		state:    filepath.Join(home, "spool-agent"),
	}
	registry := mkdir(b, i.state, "projects")
	for n := range projects {
		project := mkdir(b, home, fmt.Sprintf("project-%04d", n))
		spool(b, project)
		write(b, filepath.Join(registry, fmt.Sprint(n)), project+"\n")
	}
	i.cmd.Stderr = os.Stderr
	if err := i.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return i
}

// stop ends it before its directories are removed: it would make some anew.
func (i *idler) stop(b *testing.B) {
	i.cmd.Process.Signal(syscall.SIGTERM)
	if err := i.cmd.Wait(); err != nil {
		b.Errorf("the agent: %v", err)
	}
}

// settle waits until all projects are served, and then a little.
func (i *idler) settle(b *testing.B) {
	for start := time.Now(); ; <-time.After(20 * time.Millisecond) {
		infos, err := status.Running(i.state)
		if err != nil {
			b.Fatal(err)
		}
		serving := 0
		for _, info := range infos {
			for _, p := range info.Projects {
				if p.State == agent.StateServing {
					serving++
				}
			}
		}
		if serving == i.projects {
			break
		}
		if time.Since(start) > time.Minute {
			b.Fatalf("of %d projects, %d are served", i.projects, serving)
		}
	}
	<-time.After(5 * time.Second)
}

// rest leaves the agent alone for a time, and counts meanwhile how often it
// wakes up, and what it does.
func (i *idler) rest(d time.Duration) (err error) {
	first, err := agenttest.Watch(i.cmd.Process.Pid)
	if err != nil {
		return err
	}
	last, lastAt := first, time.Now()
	tick := time.NewTicker(stillness / 4)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		at := <-tick.C
		now, err := agenttest.Watch(i.cmd.Process.Pid)
		if err != nil {
			return err
		}
		if now == last {
			continue
		}
		if at.Sub(lastAt) > stillness {
			i.wakeUps++
		}
		last, lastAt = now, at
	}
	i.did = agenttest.Activity{CPU: last.CPU - first.CPU, Switches: last.Switches - first.Switches}
	return nil
}

func (i *idler) rows(b *testing.B, most int) {
	r, err := agenttest.Look(i.cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	name := fmt.Sprintf("idle agent, %s projects", thousands(i.projects))
	if i.projects == 1 {
		name = "idle agent, 1 project"
	}
	// Not the peak: that has the start in it, and what is given back after.
	printRow(name+": resident", fmt.Sprintf("%.1f MiB", float64(r.RSS)/1024), "", "", fmt.Sprintf("less than %d MiB", most),
		verdict(float64(r.RSS), float64(most<<10-1)))
	if testing.Short() {
		return
	}
	minutes := idleWindow.Minutes()
	perMinute := float64(i.wakeUps) / minutes
	printRow("  wake-ups a minute", fmt.Sprintf("%.1f", perMinute), "", "", fmt.Sprintf("fewer than %d", idleAtMost), verdict(perMinute, idleAtMost-0.1))
	printRow("  context switches of all threads, a minute", fmt.Sprintf("%.1f", float64(i.did.Switches)/minutes), "", "", "", "")
	printRow("  processor time an hour", short(i.did.CPU*time.Duration(time.Hour/idleWindow)), "", "", "", "")
}

func idle(b *testing.B, dir string) {
	program := build(b, dir, "agent", "spoolagent/cmd/agent")
	one, many := newIdler(b, dir, program, 1), newIdler(b, dir, program, 1000)
	defer one.stop(b)
	defer many.stop(b)
	one.settle(b)
	many.settle(b)
	if !testing.Short() {
		var both sync.WaitGroup
		for _, i := range []*idler{one, many} {
			both.Go(func() {
				if err := i.rest(idleWindow); err != nil {
					b.Error(err)
				}
			})
		}
		both.Wait()
	}
	one.rows(b, 15)
	many.rows(b, 30)
}
