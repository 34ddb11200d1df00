//go:build linux

package bench

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"spoolagent/internal/agenttest"
)

// What an idle agent uses is measured over two of its safety scans, and the
// runtime's garbage collection, which comes every two minutes. BENCHFLAGS=-short
// looks at its memory only.
const (
	idleWindow = 2 * time.Minute
	idleAtMost = 5 // wake-ups a minute
)

// stillness is how long nothing must have happened for what comes next to be
// another wake-up: twice the pause after which the runtime's monitor looks
// again while something goes on.
const stillness = 20 * time.Millisecond

// idler is an agent that has nothing to do for its projects.
type idler struct {
	projects int
	agent    *agenttest.Process

	wakeUps int
	did     agenttest.Activity
}

// newIdler returns when all projects are served, and a little has passed.
func newIdler(b *testing.B, dir string, projects int) *idler {
	home := filepath.Join(dir, fmt.Sprintf("home-%d", projects))
	agenttest.Mkdir(b, home)
	u := agenttest.NewUserIn(b, home)
	for n := range projects {
		name := fmt.Sprintf("project-%04d", n)
		u.Register(u.Project(name), name)
	}
	i := &idler{projects: projects, agent: u.Run("--log-level", "error")}
	agenttest.Until(b, "all projects are served", func() bool { return u.States()["serving"] == projects })
	<-time.After(5 * time.Second)
	return i
}

// watch leaves the agent alone for a time, and counts meanwhile how often it
// wakes up, and what it does.
func (i *idler) watch(d time.Duration) (err error) {
	first, err := agenttest.Watch(i.agent.Process.Pid)
	if err != nil {
		return err
	}
	last, lastAt := first, time.Now()
	tick := time.NewTicker(stillness / 4)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		at := <-tick.C
		now, err := agenttest.Watch(i.agent.Process.Pid)
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
	r, err := agenttest.Look(i.agent.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	name := fmt.Sprintf("idle agent, %s projects", thousands(i.projects))
	if i.projects == 1 {
		name = "idle agent, 1 project"
	}
	// Not the peak: that has the start in it, and what is given back after.
	printRow(name+": resident", fmt.Sprintf("%.1f MiB", float64(r.RSS)/1024), "", "", fmt.Sprintf("at most %d MiB", most),
		verdict(float64(r.RSS), float64(most<<10)))
	if testing.Short() {
		return
	}
	minutes := idleWindow.Minutes()
	perMinute := float64(i.wakeUps) / minutes
	printRow("  wake-ups a minute", fmt.Sprintf("%.1f", perMinute), "", "", fmt.Sprintf("at most %d", idleAtMost), verdict(perMinute, idleAtMost))
	printRow("  context switches of all threads, a minute", fmt.Sprintf("%.1f", float64(i.did.Switches)/minutes), "", "", "", "")
	printRow("  processor time an hour", short(i.did.CPU*time.Duration(time.Hour/idleWindow)), "", "", "", "")
}

func idle(b *testing.B, dir string) {
	one, many := newIdler(b, dir, 1), newIdler(b, dir, 1000)
	// Before their directories are removed: they would make some anew.
	defer one.agent.Stop()
	defer many.agent.Stop()
	if !testing.Short() {
		var both sync.WaitGroup
		for _, i := range []*idler{one, many} {
			both.Go(func() {
				if err := i.watch(idleWindow); err != nil {
					b.Error(err)
				}
			})
		}
		both.Wait()
	}
	one.rows(b, 10)
	many.rows(b, 30)
}
