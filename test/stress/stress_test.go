//go:build unix

package stress

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"spoolagent/configs"
)

const (
	hooks       = 16
	perHook     = 125
	perStranger = 100
	patience    = 2 * time.Minute // for anything that must happen at all
)

// stage is one run: a project, the binary, and all that anybody took.
type stage struct {
	*testing.T
	agent, project, hook, config string

	mu    sync.Mutex
	taken bytes.Buffer // every line that left the queue, by whatever way
}

func newStage(t *testing.T) *stage {
	dir := t.TempDir()
	s := &stage{
		T:       t,
		agent:   filepath.Join(dir, "agent"),
		project: filepath.Join(dir, "a project"),
		hook:    filepath.Join(dir, "hook.sh"),
		config:  filepath.Join(dir, "config.toml"),
	}
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("CLAUDE_PROJECT_DIR", "")
	for name, content := range map[string]string{
		s.hook: configs.Hook(),
		// No cap, so that every signal must turn up; and replies that a killed
		// consumer left are back before the test ends.
		s.config: "cap = 0\nreply_ttl = \"1s\"\nlog_level = \"error\"\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.project, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", s.agent, "spoolagent/cmd/agent").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return s
}

func (s *stage) queue() string {
	return filepath.Join(s.project, ".spool", "distill-pending.queue")
}

func (s *stage) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = s.project
	return c
}

func (s *stage) run(args ...string) *exec.Cmd {
	return s.command(context.Background(), s.agent, append(args, "--config", s.config, "--project", s.project)...)
}

func (s *stage) took(lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.Write(lines)
}

// serve starts agents and kills them until done, and returns how many.
func (s *stage) serve(done <-chan struct{}) (kills int) {
	for {
		c := s.run("run")
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			s.Error(err)
			return kills
		}
		life := time.NewTimer(time.Duration(rand.IntN(150)) * time.Millisecond)
		select {
		case <-done:
			life.Stop()
			c.Process.Kill()
			c.Wait()
			return kills + 1
		case <-life.C:
			c.Process.Kill()
			c.Wait()
			kills++
		}
	}
}

func (s *stage) runHook(id string) {
	c := s.command(context.Background(), "sh", s.hook)
	c.Stdin = strings.NewReader(fmt.Sprintf(`{"hook_event_name":"PostToolUse","session_id":"s","tool_name":"Bash","tool_input":{"command":"echo %[1]s"},"tool_response":{"stdout":"%[1]s"},"cwd":"/w","id":"<%[1]s>"}`, id))
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		s.Errorf("hook: %v %q", err, out)
	}
}

// The strangers lock the queue as any shell script or Python program would.
const (
	shellAppends = `flock "$1" sh -c 'printf "{\"recorded_at\":1,\"cwd\":\"/s\",\"payload\":\"<%s>\"}\n" "$2" >>"$1"' sh "$1" "$2"`
	shellDrains  = `flock "$1" sh -c 'cat "$1" && : >"$1"' sh "$1"`
	python       = `
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
)

func (s *stage) stranger(c *exec.Cmd) {
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		s.Errorf("%s: %v: %s", c.Path, err, errs.Bytes())
	}
	s.took(out.Bytes())
}

// drain takes what there is, by the control file or without an agent, as it
// comes.
func (s *stage) drain() error {
	var out, errs bytes.Buffer
	c := s.run("drain", "--timeout", "60s")
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	s.took(out.Bytes())
	if err != nil {
		return fmt.Errorf("drain: %w: %s", err, errs.Bytes())
	}
	return nil
}

func TestEverybodyAtOnce(t *testing.T) {
	for _, tool := range []string{"go", "flock", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here: %v", tool, err)
		}
	}
	s := newStage(t)
	want := map[string]bool{}
	s.runHook("first") // makes the spool
	want["first"] = true
	if err := s.drain(); err != nil { // makes the queue, which the strangers open
		t.Fatal(err)
	}

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
			s.stranger(s.command(context.Background(), "sh", "-c", shellAppends, "sh", s.queue(), fmt.Sprintf("sh-%d", i)))
		}
	})
	producers.Go(func() {
		for range perStranger {
			s.stranger(s.command(context.Background(), "sh", "-c", shellDrains, "sh", s.queue()))
		}
	})
	producers.Go(func() {
		s.stranger(s.command(context.Background(), "python3", "-c", python, s.queue(), "py", fmt.Sprint(perStranger)))
	})
	var kills int
	var drains atomic.Int64
	others.Go(func() { kills = s.serve(done) })
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := s.drain(); err != nil {
					t.Error(err)
				}
				drains.Add(1)
			}
		}
	})
	producers.Wait()
	close(done)
	others.Wait()

	s.settle()
	s.check(want)
	t.Logf("%d signals, %d agents killed, %d drains beside them", len(want), kills, drains.Load())
}

// settle lets a last agent finish what the killed ones left, and drains it.
func (s *stage) settle() {
	last := s.run("run")
	if err := last.Start(); err != nil {
		s.Fatal(err)
	}
	defer last.Wait()
	defer last.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.drain(); err != nil {
			s.Fatal(err)
		}
		st := s.status()
		if st.Queued == 0 && st.Incoming == 0 && st.Replies == 0 {
			l := st.Ledger
			if l.Folded+l.Returned+l.External != l.Drained+l.Evicted {
				s.Errorf("the ledger does not close: %+v", l)
			}
			if l.Evicted != 0 || l.Rejected != 0 {
				s.Errorf("evicted or rejected: %+v", l)
			}
			return
		}
		select {
		case <-ctx.Done():
			s.Fatalf("does not come to rest: %+v", st)
		case <-tick.C:
		}
	}
}

type status struct {
	Queued, Incoming, Replies int
	Ledger                    struct{ Folded, Returned, External, Drained, Evicted, Rejected int64 }
}

func (s *stage) status() status {
	out, err := s.run("status", "--json").Output()
	var st struct{ Projects []status }
	if jerr := json.Unmarshal(out, &st); jerr != nil || len(st.Projects) != 1 {
		s.Fatalf("status: %v, %v: %s", err, jerr, out)
	}
	return st.Projects[0]
}

// check looks for every signal in all that was taken: once, and nothing else.
func (s *stage) check(want map[string]bool) {
	seen := map[string]int{}
	for in := bufio.NewScanner(&s.taken); in.Scan(); {
		line := strings.TrimSpace(in.Text())
		if line == "" {
			continue // an interrupted change leaves blank lines to strangers
		}
		var signal struct{ Payload string }
		if err := json.Unmarshal([]byte(line), &signal); err != nil {
			s.Errorf("somebody was given a broken line: %v: %q", err, line)
			continue
		}
		_, id, _ := strings.Cut(signal.Payload, "<")
		id, _, _ = strings.Cut(id, ">")
		seen[id]++
	}
	for id := range want {
		if seen[id] != 1 {
			s.Errorf("signal %s was delivered %d times", id, seen[id])
		}
		delete(seen, id)
	}
	if len(seen) > 0 {
		s.Errorf("signals that nobody made: %v", seen)
	}
}
