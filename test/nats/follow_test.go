//go:build unix

package nats

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"spoolagent/configs"
	"spoolagent/internal/agenttest"
)

const (
	hooks   = 4
	perHook = 100
	longs   = 500
	twins   = 60
	deaths  = 5 // of the publisher
)

// stage is one run: a user with a project, and a broker.
type stage struct {
	*agenttest.User
	project, hook string

	broker string
	js     jetstream.JetStream
	stream jetstream.Stream
}

func newStage(t *testing.T) *stage {
	u := agenttest.NewUser(t)
	// No cap, so that every signal must turn up. Replies are not returned
	// while the test runs: only a follower can bring what another left.
	u.Configure("cap = 0\nreply_ttl = \"10m\"\nlog_level = \"error\"\n")
	s := &stage{User: u, project: filepath.Join(u.Home, "a project"), hook: filepath.Join(u.Home, "hook.sh")}
	agenttest.Mkdir(t, s.project)
	agenttest.Write(t, s.hook, configs.Hook())
	s.broker = newBroker(t)
	s.js = connect(t, s.broker)
	return s
}

// makeStream makes the stream, which is empty.
func (s *stage) makeStream() {
	stream, err := s.js.CreateStream(s.Context(), jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"signals.>"}, Duplicates: 10 * time.Minute,
	})
	if err != nil {
		s.Fatal(err)
	}
	s.stream = stream
}

// serve starts agents, kills them, and lets some time pass without one, until
// done.
func (s *stage) serve(done <-chan struct{}) (kills int) {
	for {
		agent := s.Run("--project", s.project)
		over := wait(done, rand.N(200*time.Millisecond))
		agent.Kill()
		kills++
		if over || wait(done, rand.N(50*time.Millisecond)) {
			return kills
		}
	}
}

// wait waits for a time, or until something is over, which it reports.
func wait(over <-chan struct{}, atMost time.Duration) bool {
	select {
	case <-over:
		return true
	case <-time.After(atMost):
		return false
	}
}

// produce makes all signals, beside more if there is any, and returns how many.
func (s *stage) produce(more func()) (n int) {
	var producers sync.WaitGroup
	if more != nil {
		producers.Go(more)
		n += deaths
	}
	for h := range hooks {
		producers.Go(func() {
			for i := range perHook {
				s.runHook(fmt.Sprintf("h%d-%d", h, i))
			}
		})
	}
	producers.Go(func() {
		long := strings.Repeat("-", 3000) // so that pipes fill, and followers die over half a batch
		for i := range longs {
			s.drop(fmt.Sprintf("l-%d", i), long)
		}
	})
	producers.Go(func() {
		for range twins {
			s.drop("twin")
		}
	})
	producers.Wait()
	return n + hooks*perHook + longs + twins
}

func (s *stage) runHook(name string) {
	c := s.Command("sh", s.hook)
	c.Dir = s.project
	s.Quiet(c, agenttest.Event(name))
}

func (s *stage) drop(name string, more ...string) { agenttest.Drop(s, s.project, name, more...) }

// stop ends a follower as a person would, which must go well.
func (s *stage) stop(c *exec.Cmd) {
	c.Process.Signal(syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		s.Errorf("the follower ended badly: %v", err)
	}
}

// delivered waits until the stream has n signals and the spool has none.
func (s *stage) delivered(n int) {
	var p agenttest.Project
	agenttest.Until(s, fmt.Sprintf("the stream has %d signals and the spool has none", n), func() bool {
		info, err := s.stream.Info(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		p = s.ProjectStatus(s.project)
		return int(info.State.Msgs) >= n && p.Empty()
	})
	if l := p.Ledger; !p.Closes() || l.Folded != n || l.External != 0 || l.Evicted != 0 || l.Rejected != 0 {
		s.Errorf("%d signals were made, the ledger says %+v", n, l)
	}
}

// place is where a signal stood: the time at which its follower began, the
// batch of that follower, and the line of the batch.
type place [3]int

func placeOf(t testing.TB, id string) (at place) {
	part := strings.Split(id, "-") // follow-TIME-PID-RANDOM-BATCH-LINE
	if len(part) != 6 {
		t.Fatalf("what an id is this? %q", id)
	}
	for i, p := range []string{part[1], part[4], part[5]} {
		n, err := strconv.Atoi(p)
		if err != nil {
			t.Fatalf("what an id is this? %q", id)
		}
		at[i] = n
	}
	return at
}

// check looks for every signal in the stream: once, and in the order in which
// they were drained, also where they came from a dead follower.
func (s *stage) check(more bool) {
	info, err := s.stream.Info(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	seen := map[string]int{}
	var last place
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		msg, err := s.stream.GetMsg(s.Context(), seq)
		if err != nil {
			s.Fatal(err)
		}
		var signal struct{ ID, Payload string }
		if err := json.Unmarshal(msg.Data, &signal); err != nil {
			s.Fatalf("the stream has a broken message: %v: %q", err, msg.Data)
		}
		at := placeOf(s, signal.ID)
		if slices.Compare(last[:], at[:]) >= 0 {
			s.Errorf("out of order: %v after %v", at, last)
		}
		last = at
		for _, name := range agenttest.Names(signal.Payload) {
			seen[name]++
		}
	}
	want := map[string]int{"twin": twins}
	for h := range hooks {
		for i := range perHook {
			want[fmt.Sprintf("h%d-%d", h, i)] = 1
		}
	}
	if more {
		for i := range deaths {
			want[fmt.Sprintf("d-%d", i)] = 1
		}
	}
	for i := range longs {
		want[fmt.Sprintf("l-%d", i)] = 1
	}
	for id, n := range want {
		if seen[id] != n {
			s.Errorf("the stream has signal %s %d times, not %d", id, seen[id], n)
		}
		delete(seen, id)
	}
	if len(seen) > 0 {
		s.Errorf("signals that nobody made: %v", seen)
	}
}

// play produces, and more, while everything is killed: agents here, followers by follow.
// That one is to let its last follower live from when quiet is closed, until
// done is.
func (s *stage) play(more func(), follow func(quiet, done <-chan struct{})) {
	s.makeStream()
	quiet, done := make(chan struct{}), make(chan struct{})
	var others sync.WaitGroup
	var agents int
	others.Go(func() { agents = s.serve(done) })
	others.Go(func() { follow(quiet, done) })
	n := s.produce(more)
	close(quiet)
	s.delivered(n)
	close(done)
	others.Wait()
	s.check(more != nil)
	s.Logf("%d signals, %d agents killed", n, agents)
}

// follower keeps one following, in lives that end by SIGKILL until quiet is
// closed. Each is prepared before it starts; ended is called after it.
func (s *stage) follower(quiet, done <-chan struct{}, prepare func(*exec.Cmd), ended func(), args ...string) (kills int) {
	for {
		c := s.Agent(append([]string{"--project", s.project, "drain", "--follow", "--id"}, args...)...)
		c.Stderr = os.Stderr
		prepare(c)
		if err := c.Start(); err != nil {
			s.Error(err)
			return kills
		}
		select {
		case <-quiet:
			<-done
			s.stop(c)
			ended()
			return kills
		default:
		}
		wait(quiet, rand.N(100*time.Millisecond))
		c.Process.Kill() // not its publisher
		c.Wait()
		ended()
		kills++
	}
}

// TestCommand: the publisher is the follower's command, and may die.
func TestCommand(t *testing.T) {
	s := newStage(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	s.play(func() { s.certify(work) }, func(quiet, done <-chan struct{}) {
		kills := s.follower(quiet, done, func(c *exec.Cmd) {
			c.Env = append(c.Env, urlVariable+"="+s.broker, workVariable+"="+work)
		}, func() {}, "--", self)
		repeats, err := os.ReadFile(filepath.Join(work, "repeats"))
		if err != nil || len(bytes.Trim(repeats, "0\n")) == 0 {
			s.Errorf("publishers died, but nothing was repeated: %v", err)
		}
		s.Logf("%d followers killed, %d publishers; the broker discarded %v", kills, deaths, sum(repeats))
	})
}

// certify writes death certificates for the publisher. Between two of them one
// lives to the end of its batch, lest the follower's patience with it grows.
func (s *stage) certify(work string) {
	certificate, log := filepath.Join(work, "die"), filepath.Join(work, "repeats")
	var size int64
	for i := range deaths {
		if err := os.WriteFile(certificate, nil, 0o600); err != nil {
			s.Error(err)
			return
		}
		s.drop(fmt.Sprintf("d-%d", i))
		agenttest.Until(s, "a publisher has died and another has not", func() bool {
			if _, err := os.Lstat(certificate); err == nil {
				return false
			}
			info, err := os.Stat(log)
			if err != nil || info.Size() == size {
				return false
			}
			size = info.Size()
			return true
		})
	}
}

func sum(lines []byte) (total int) {
	for _, f := range strings.Fields(string(lines)) {
		var n int
		fmt.Sscan(f, &n)
		total += n
	}
	return total
}

// TestPipe: the publisher reads what the follower prints.
func TestPipe(t *testing.T) {
	s := newStage(t)
	s.play(nil, func(quiet, done <-chan struct{}) {
		var (
			repeats   int
			publisher sync.WaitGroup
			in        *os.File
		)
		kills := s.follower(quiet, done, func(c *exec.Cmd) {
			out, pipe, err := os.Pipe()
			if err != nil {
				s.Error(err)
				return
			}
			c.Stdout, in = pipe, pipe
			publisher.Go(func() {
				defer out.Close()
				n, err := publish(context.Background(), s.js, out, func() error { return nil })
				if err != nil {
					s.Error(err)
				}
				repeats += n
			})
		}, func() {
			// All that was printed is published before the next one prints.
			in.Close()
			publisher.Wait()
		})
		s.Logf("%d followers killed; the broker discarded %d", kills, repeats)
	})
}
