//go:build linux && long

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"spoolagent/internal/agenttest"
)

func (s *stage) start() *agenttest.Process { return s.Run("--log-level", "warn") }

// torment starts agents and ends them, until ctx does.
func (s *stage) torment(ctx context.Context) {
	for ctx.Err() == nil {
		p := s.start()
		life := time.Duration(rand.ExpFloat64() * float64(2*time.Second))
		s.pause(ctx, min(life, 10*time.Second))
		if rand.IntN(5) == 0 {
			// It may not have come as far as to know what SIGTERM means.
			s.served(p)
			p.Stop()
			s.counts.stops.Add(1)
		} else {
			p.Kill()
			s.counts.kills.Add(1)
		}
		if rand.IntN(3) == 0 {
			s.pause(ctx, rand.N(500*time.Millisecond)) // nobody serves
		}
	}
}

// served waits until an agent says that it runs, and returns what it serves.
func (s *stage) served(p *agenttest.Process) (r agenttest.Report) {
	agenttest.Until(s, "the agent says that it runs", func() bool {
		r = s.Report()
		return r.PID == p.Process.Pid
	})
	return r
}

// idle waits until every project is served, and no other, and returns what the
// agent has then: as much, each time.
func (s *stage) idle(p *agenttest.Process) agenttest.Sample {
	agenttest.Until(s, "every project is served", func() bool {
		all := s.served(p).Projects
		return len(all) == len(s.projects) &&
			!slices.ContainsFunc(all, func(p agenttest.Project) bool { return p.State != "serving" })
	})
	return s.sample(p)
}

func (s *stage) sample(p *agenttest.Process) agenttest.Sample {
	r, err := agenttest.Look(p.Process.Pid)
	if err != nil {
		s.Error(err)
	}
	return r
}

// same waits until the agent has exactly what it had at another time.
func (s *stage) same(p *agenttest.Process, before agenttest.Sample) (now agenttest.Sample) {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		now = s.idle(p)
		if now.Files == before.Files && now.Watches == before.Watches {
			return now
		}
		if time.Now().After(deadline) {
			open, _ := exec.Command("ls", "-l", fmt.Sprintf("/proc/%d/fd", p.Process.Pid)).Output()
			s.Errorf("the agent had %d descriptors and %d watches, and has %d and %d, with the same projects:\n%s",
				before.Files, before.Watches, now.Files, now.Watches, tail(string(open), 400))
			return now
		}
		s.pause(context.Background(), 100*time.Millisecond)
	}
}

// watch samples the agent every second until ctx ends. It returns the resident
// memory at each of them, in KiB, and the most that the agent had of anything.
func (s *stage) watch(ctx context.Context, p *agenttest.Process) (memory []float64, peak agenttest.Sample) {
	for ; ctx.Err() == nil; s.pause(ctx, time.Second) {
		r := s.sample(p)
		memory = append(memory, float64(r.RSS))
		peak.RSS = max(peak.RSS, r.RSS)
		peak.Files = max(peak.Files, r.Files)
		peak.Watches = max(peak.Watches, r.Watches)
		peak.Threads = max(peak.Threads, r.Threads)
	}
	return memory, peak
}

func mean(all []float64) float64 {
	sum := 0.0
	for _, x := range all {
		sum += x
	}
	return sum / float64(max(1, len(all)))
}

var goroutine = regexp.MustCompile(`(?m)^goroutine \d+`)

// dump ends an agent with SIGQUIT, and counts the goroutines that it had.
func dump(p *agenttest.Process) (goroutines int, stacks string) {
	p.End(syscall.SIGQUIT)
	return len(goroutine.FindAllString(p.Log(), -1)), p.Log()
}

// reload has the agent that runs, if one does, read a configuration with another cap.
func (s *stage) reload() {
	s.configure(caps[rand.IntN(len(caps))])
	if r := s.Report(); r.Running {
		syscall.Kill(r.PID, syscall.SIGHUP)
	}
	s.counts.reloads.Add(1)
}

func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// counts is what has happened.
type counts struct {
	hooks, drops, verbs, bad             atomic.Int64
	requests, drains, deserted, killed   atomic.Int64
	appends, foreign                     atomic.Int64
	deletions, excused, aside, moves     atomic.Int64
	removals, kills, stops, reloads      atomic.Int64
	withdrawn, gaveUp, unclaimed, closed atomic.Int64
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
