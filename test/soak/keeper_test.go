//go:build linux

package soak

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"spoolagent/agent"
	"spoolagent/internal/agenttest"
)

// process is an agent that runs.
type process struct {
	cmd *exec.Cmd
	log bytes.Buffer // to be read once it has ended
}

func (s *stage) start() (*process, error) {
	p := &process{cmd: exec.Command(s.agent, "run", "--log-level", "warn")}
	p.cmd.Stderr = &p.log
	return p, p.cmd.Start()
}

// end ends it, and expects that it ends well unless it is killed.
func (s *stage) end(p *process, sig syscall.Signal) {
	p.cmd.Process.Signal(sig)
	err := p.cmd.Wait()
	if err != nil && sig != syscall.SIGKILL && sig != syscall.SIGQUIT {
		s.Errorf("the agent, sent %v: %v\n%s", sig, err, tail(p.log.String(), 40))
	}
	if strings.Contains(p.log.String(), "panic: ") || strings.Contains(p.log.String(), "fatal error: ") {
		s.Errorf("the agent broke:\n%s", tail(p.log.String(), 200))
	}
}

// torment starts agents and ends them, until ctx does.
func (s *stage) torment(ctx context.Context) {
	for ctx.Err() == nil {
		p, err := s.start()
		if err != nil {
			s.Error(err)
			return
		}
		life := time.Duration(rand.ExpFloat64() * float64(2*time.Second))
		s.pause(ctx, min(life, 10*time.Second))
		if rand.IntN(5) == 0 {
			// It may not have come as far as to know what SIGTERM means.
			s.served(p)
			s.end(p, syscall.SIGTERM)
			s.counts.stops.Add(1)
		} else {
			s.end(p, syscall.SIGKILL)
			s.counts.kills.Add(1)
		}
		if rand.IntN(3) == 0 {
			s.pause(ctx, time.Duration(rand.IntN(500))*time.Millisecond) // nobody serves
		}
	}
}

// served waits until an agent has said what it serves.
func (s *stage) served(p *process) (info agent.Info) {
	s.until("the agent says that it runs", func() bool {
		infos, err := agent.Running(s.state)
		for _, i := range infos {
			if i.PID == p.cmd.Process.Pid {
				info = i
				return len(i.Projects) > 0
			}
		}
		return err != nil
	})
	return info
}

// rest waits until every project is served, and no other, and returns what the
// agent has then: as much, each time.
func (s *stage) rest(p *process) (r agenttest.Sample) {
	s.until("every project is served", func() bool {
		info := s.served(p)
		n := 0
		for _, state := range info.Projects {
			if state.State == agent.StateServing && state.SameAs == "" {
				n++
			}
		}
		return n == len(s.projects) && len(info.Projects) == n
	})
	return s.look(p)
}

func (s *stage) look(p *process) agenttest.Sample {
	r, err := agenttest.Look(p.cmd.Process.Pid)
	if err != nil {
		s.Error(err)
	}
	return r
}

// same waits until the agent has exactly what it had at another time.
func (s *stage) same(p *process, before agenttest.Sample) (now agenttest.Sample) {
	deadline := time.Now().Add(patience)
	for {
		now = s.rest(p)
		if now.Files == before.Files && now.Watches == before.Watches {
			return now
		}
		if time.Now().After(deadline) {
			s.Errorf("the agent had %d descriptors and %d watches, and has %d and %d, with the same projects:\n%s",
				before.Files, before.Watches, now.Files, now.Watches, s.descriptors(p))
			return now
		}
		s.pause(context.Background(), 100*time.Millisecond)
	}
}

// descriptors lists what is open, but for the projects' directories.
func (s *stage) descriptors(p *process) string {
	out, _ := exec.Command("ls", "-l", fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)).Output()
	return tail(string(out), 400)
}

// trend is a line through samples of the resident memory.
type trend struct{ xs, ys []float64 }

// sample samples the agent every second until ctx ends.
func (s *stage) sample(ctx context.Context, p *process) (t trend, peak agenttest.Sample) {
	for began := time.Now(); ctx.Err() == nil; s.pause(ctx, time.Second) {
		r := s.look(p)
		t.xs = append(t.xs, time.Since(began).Seconds())
		t.ys = append(t.ys, float64(r.RSS))
		peak.RSS = max(peak.RSS, r.RSS)
		peak.Files = max(peak.Files, r.Files)
		peak.Watches = max(peak.Watches, r.Watches)
		peak.Threads = max(peak.Threads, r.Threads)
	}
	return t, peak
}

// slope is that of the line which fits best, in KiB a minute.
func (t trend) slope() float64 {
	var n, x, y, xx, xy float64
	for i := range t.xs {
		n++
		x += t.xs[i]
		y += t.ys[i]
		xx += t.xs[i] * t.xs[i]
		xy += t.xs[i] * t.ys[i]
	}
	if d := n*xx - x*x; d > 0 {
		return 60 * (n*xy - x*y) / d
	}
	return 0
}

// halves are of the same length, and leave out what is over.
func (t trend) halves() (first, second trend) {
	n := len(t.ys) / 2
	return trend{t.xs[:n], t.ys[:n]}, trend{t.xs[n : 2*n], t.ys[n : 2*n]}
}

// mean is in KiB.
func (t trend) mean() float64 {
	sum := 0.0
	for _, y := range t.ys {
		sum += y
	}
	return sum / float64(max(1, len(t.ys)))
}

var goroutine = regexp.MustCompile(`(?m)^goroutine \d+`)

// dump ends an agent with SIGQUIT, and counts the goroutines that it had.
func (s *stage) dump(p *process) (goroutines int, stacks string) {
	s.end(p, syscall.SIGQUIT)
	return len(goroutine.FindAllString(p.log.String(), -1)), p.log.String()
}

// reload has whatever agent runs read a configuration with another cap.
func (s *stage) reload(p func() int) {
	s.configure(caps[rand.IntN(len(caps))])
	if pid := p(); pid != 0 {
		syscall.Kill(pid, syscall.SIGHUP)
	}
	s.counts.reloads.Add(1)
}

// running is the process id of the agent that runs and knows what SIGHUP means; 0 if none does.
func (s *stage) running() int {
	infos, err := agent.Running(s.state)
	if err != nil || len(infos) != 1 || len(infos[0].Projects) == 0 {
		return 0
	}
	return infos[0].PID
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
