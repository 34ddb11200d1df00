//go:build unix && tools

package stress

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spoolagent/configs"
	"spoolagent/internal/agenttest"
)

const (
	hooks       = 16
	perHook     = 125
	perStranger = 100
)

// stage is one run: a user with a project, and all that anybody took.
type stage struct {
	*agenttest.User
	project, hook string

	mu    sync.Mutex
	taken bytes.Buffer // every line that left the queue, by whatever way
}

func newStage(t *testing.T) *stage {
	u := agenttest.NewUser(t)
	// No cap, so that every signal must turn up; and replies that a killed
	// consumer left are back before the test ends.
	u.Configure("cap = 0\nreply_ttl = \"1s\"\nlog_level = \"error\"\n")
	s := &stage{User: u, project: filepath.Join(u.Home, "a project"), hook: filepath.Join(u.Home, "hook.sh")}
	agenttest.Mkdir(t, s.project)
	agenttest.Write(t, s.hook, configs.Hook())
	return s
}

func (s *stage) queue() string { return filepath.Join(s.project, ".spool", "distill-pending.queue") }

func (s *stage) took(lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.Write(lines)
}

// serve starts agents and kills them until done, and returns how many.
func (s *stage) serve(done <-chan struct{}) (kills int) {
	for {
		agent := s.Run("--project", s.project)
		life := time.NewTimer(rand.N(150 * time.Millisecond))
		select {
		case <-done:
			life.Stop()
			agent.Kill()
			return kills + 1
		case <-life.C:
			agent.Kill()
			kills++
		}
	}
}

func (s *stage) runHook(name string) {
	c := s.Command("sh", s.hook)
	c.Dir = s.project
	s.Quiet(c, agenttest.Event(name))
}

// python is another stranger: it drains and appends in turns.
const python = `
import fcntl, sys
queue, name, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
for i in range(n):
    with open(queue, "r+b") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        if i % 2:
            sys.stdout.buffer.write(f.read())
            f.truncate(0)
        else:
            f.seek(0, 2)
            f.write(b'{"recorded_at":2,"cwd":"/p","payload":"<%s-%d>"}\n' % (name.encode(), i))
        f.flush()
`

func (s *stage) stranger(name string, args ...string) { s.take(s.Command(name, args...)) }

// take runs a command that prints what it took.
func (s *stage) take(c *exec.Cmd) {
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	s.took(out.Bytes())
	if err != nil {
		s.Errorf("%q: %v: %s", c.Args, err, errs.Bytes())
	}
}

// drain takes what there is, by the control file or without an agent, as it comes.
func (s *stage) drain() { s.take(s.Agent("drain", "--timeout", "60s", "--project", s.project)) }

func TestEverybodyAtOnce(t *testing.T) {
	python3 := agenttest.Tool(t, "python3")
	agenttest.Tool(t, "flock")
	s := newStage(t)
	want := map[string]bool{}
	s.runHook("first") // makes the spool
	want["first"] = true
	s.drain() // makes the queue, which the strangers open

	var producers, others sync.WaitGroup
	done := make(chan struct{})
	for h := range hooks {
		for i := range perHook {
			want[fmt.Sprintf("h%d-%d", h, i)] = true
		}
		producers.Go(func() {
			for i := range perHook {
				s.runHook(fmt.Sprintf("h%d-%d", h, i))
			}
		})
	}
	for i := range perStranger {
		want[fmt.Sprintf("sh-%d", i)] = true
		if i%2 == 0 {
			want[fmt.Sprintf("py-%d", i)] = true
		}
	}
	producers.Go(func() {
		for i := range perStranger {
			s.stranger("sh", "-c", agenttest.StrangerAppends, "sh", s.queue(), fmt.Sprintf("sh-%d", i))
		}
	})
	producers.Go(func() {
		for range perStranger {
			s.stranger("sh", "-c", agenttest.StrangerDrains, "sh", s.queue())
		}
	})
	producers.Go(func() { s.stranger(python3, "-c", python, s.queue(), "py", fmt.Sprint(perStranger)) })
	var kills int
	var drains atomic.Int64
	others.Go(func() { kills = s.serve(done) })
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				s.drain()
				drains.Add(1)
			}
		}
	})
	producers.Wait()
	close(done)
	others.Wait()

	s.finish()
	s.check(want)
	t.Logf("%d signals, %d agents killed, %d drains beside them", len(want), kills, drains.Load())
}

// finish lets a last agent complete what the killed ones left, and drains it.
func (s *stage) finish() {
	s.Run("--project", s.project)
	var p agenttest.Project
	agenttest.Until(s, "nothing waits any more", func() bool {
		s.drain()
		p = s.ProjectStatus(s.project)
		return p.Empty()
	})
	if !p.Closes() || p.Ledger.Evicted != 0 || p.Ledger.Rejected != 0 {
		s.Errorf("the ledger does not close, or has what was evicted or rejected: %+v", p)
	}
}

// check accounts for every signal in all that was taken: once, and nothing else.
func (s *stage) check(want map[string]bool) {
	names, err := agenttest.WholeNames(s.taken.String())
	if err != nil {
		s.Errorf("somebody was given %v", err)
	}
	seen := map[string]int{}
	for _, name := range names {
		seen[name]++
	}
	for name := range want {
		if seen[name] != 1 {
			s.Errorf("signal %s was delivered %d times", name, seen[name])
		}
		delete(seen, name)
	}
	if len(seen) > 0 {
		s.Errorf("signals that nobody made: %v", seen)
	}
}
