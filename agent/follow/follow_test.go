package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spoolagent/agent/watch"
	"spoolagent/internal/agenttest"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// following is a running follower and what it has delivered.
type following struct {
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}
	err  error // once done is closed

	mu       sync.Mutex
	lines    []string
	problems []string
	drains   int
}

// followIt starts a follower. adjust may be nil.
func followIt(t *testing.T, project string, adjust func(*Config)) *following {
	ctx, stop := context.WithCancel(t.Context())
	f := &following{t: t, stop: stop, done: make(chan struct{})}
	cfg := Config{
		Project: project,
		Options: options(), ScanInterval: time.Hour,
		Drain: func(ctx context.Context, q *queue.Queue, id string) error {
			f.mu.Lock()
			f.drains++
			f.mu.Unlock()
			_, err := q.Take(ctx, id)
			return err
		},
		Deliver: func(_ context.Context, b Batch) error {
			data, err := io.ReadAll(b.Signals)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.lines = append(f.lines, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")...)
			return err
		},
		Report: func(err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.problems = append(f.problems, err.Error())
		},
	}
	if adjust != nil {
		adjust(&cfg)
	}
	go func() {
		defer close(f.done)
		f.err = Run(ctx, cfg)
	}()
	t.Cleanup(func() { f.end() })
	return f
}

// end ends it and returns what it delivered.
func (f *following) end() []string {
	f.stop()
	<-f.done
	if f.err != nil {
		f.t.Errorf("Run: %v", f.err)
	}
	return f.delivered()
}

func (f *following) delivered() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.lines)
}

func (f *following) reported() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.problems, "\n")
}

func (f *following) has(tools ...string) {
	f.t.Helper()
	agenttest.Until(f.t, fmt.Sprintf("%v delivered", tools), func() bool {
		all := strings.Join(f.delivered(), "\n")
		return !slices.ContainsFunc(tools, func(tool string) bool { return !strings.Contains(all, `"`+tool+`"`) })
	})
}

// Two followers and no agent: each signal goes to exactly one.
func TestFollowTwo(t *testing.T) {
	p := agenttest.Dir(t)
	uncapped := func(c *Config) { c.Options.Cap = 0 }
	a, b := followIt(t, p, uncapped), followIt(t, p, uncapped)
	const n = 300
	want := map[string]int{}
	for i := range n {
		tool := fmt.Sprintf("t%d", i)
		drop(t, p, tool)
		want[tool] = 1
	}
	agenttest.Until(t, "all delivered", func() bool { return len(a.delivered())+len(b.delivered()) >= n })
	got := map[string]int{}
	for _, line := range append(a.end(), b.end()...) {
		s, err := signal.ParseLine([]byte(line))
		agenttest.Must(t, err)
		got[*s.ToolName]++
	}
	for tool := range want {
		if got[tool] != 1 {
			t.Errorf("%s was delivered %d times", tool, got[tool])
		}
	}
	left, err := filepath.Glob(filepath.Join(p, ".spool", "control", "*"))
	hidden, herr := filepath.Glob(filepath.Join(p, ".spool", "control", ".*"))
	if agenttest.Must(t, errors.Join(err, herr)); len(left)+len(hidden) > 0 {
		t.Errorf("left in control: %q %q", left, hidden)
	}
}

// A drop that cannot be folded yet is read once more, and is no reason to
// drain again and again, though every drain raises events.
func TestFollowDoesNotSpin(t *testing.T) {
	t.Parallel() // it waits long
	p := agenttest.Dir(t)
	f := followIt(t, p, nil)
	drop(t, p, "one")
	f.has("one")
	bad := filepath.Join(p, ".spool", "incoming", "bad.json")
	agenttest.Must(t, os.WriteFile(bad, []byte("half"), 0o600))
	agenttest.Until(t, "rejected", func() bool {
		_, err := os.Lstat(filepath.Join(p, ".spool", "rejected", "bad.json"))
		return err == nil
	})
	drop(t, p, "two")
	f.has("two")
	f.end()
	if f.drains > 12 {
		t.Errorf("%d drains", f.drains)
	}
}

// Without a watcher the spool is polled, and that is said once.
func TestFollowWithoutWatcher(t *testing.T) {
	t.Parallel() // it waits long
	p := agenttest.Dir(t)
	drop(t, p, "before")
	f := followIt(t, p, func(cfg *Config) {
		cfg.newWatcher = func() (watch.Watcher, error) { return nil, syscall.EMFILE }
	})
	f.has("before")
	drop(t, p, "after")
	f.has("after")
	if n := strings.Count(f.reported(), "limit of watchers"); n != 1 {
		t.Errorf("reported: %s", f.reported())
	}
}

// A drain that fails is tried again, and told once.
func TestFollowRetries(t *testing.T) {
	t.Parallel() // it waits long
	p := agenttest.Dir(t)
	failures := 0
	f := followIt(t, p, func(cfg *Config) {
		drain := cfg.Drain
		cfg.Drain = func(ctx context.Context, q *queue.Queue, id string) error {
			if failures++; failures < 3 {
				return errors.New("out of luck")
			}
			return drain(ctx, q, id)
		}
	})
	drop(t, p, "one")
	f.has("one")
	if got := f.reported(); got != "out of luck" {
		t.Errorf("reported: %q", got)
	}
}

// What was delivered and cannot be acknowledged ends the follower: it would be
// delivered again and again.
func TestFollowCannotAcknowledge(t *testing.T) {
	p := agenttest.Dir(t)
	drop(t, p, "one")
	aside := filepath.Join(t.TempDir(), "aside")
	f := followIt(t, p, func(cfg *Config) {
		deliver := cfg.Deliver
		cfg.Deliver = func(ctx context.Context, b Batch) error {
			reply := filepath.Join(p, ".spool", "control", b.ID+spoolfiles.ReplySuffix)
			// A directory that is not empty cannot be removed.
			if err := errors.Join(os.Rename(reply, aside), os.MkdirAll(filepath.Join(reply, "x"), 0o700)); err != nil {
				return err
			}
			return deliver(ctx, b)
		}
	})
	<-f.done
	if f.err == nil || !strings.Contains(f.err.Error(), "cannot be acknowledged") {
		t.Errorf("Run: %v", f.err)
	}
	f.err = nil
	if got := f.end(); len(got) != 1 {
		t.Errorf("delivered: %q", got)
	}
}

// A batch that is not delivered goes back, or stays where it has ids.
func TestFollowFailedDelivery(t *testing.T) {
	for _, ids := range []bool{false, true} {
		t.Run(fmt.Sprintf("ids=%v", ids), func(t *testing.T) {
			p := agenttest.Dir(t)
			drop(t, p, "one")
			broken := errors.New("broken")
			var id, said string
			err := Run(t.Context(), Config{
				Project: p,
				Options: options(),
				IDs:     ids,
				Drain: func(ctx context.Context, q *queue.Queue, id string) error {
					_, err := q.Take(ctx, id)
					return err
				},
				Deliver: func(_ context.Context, b Batch) error { id = b.ID; return broken },
				Report:  func(err error) { said += err.Error() },
			})
			if err != broken {
				t.Errorf("Run: %v", err)
			}
			if strings.HasPrefix(said, "1 signal stays for the next follower; ") != ids || !ids && said != "" {
				t.Errorf("reported: %q", said)
			}
			_, err = os.Lstat(filepath.Join(p, ".spool", "control", id+spoolfiles.ReplySuffix))
			if kept := err == nil; kept != ids {
				t.Errorf("kept: %v", kept)
			}
			f := followIt(t, p, func(cfg *Config) { cfg.IDs = ids })
			f.has("one")
			if got := f.end(); len(got) != 1 || strings.HasPrefix(got[0], fmt.Sprintf(`{"id":"%s-1",`, id)) != ids {
				t.Errorf("delivered: %q after %s", got, id)
			}
		})
	}
}

// Numbered signals are signals, and without their ids what they were.
func TestCopySignals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(?s:.{0,40})`)
		var plain, loose bytes.Buffer
		n := rapid.IntRange(0, 20).Draw(t, "n")
		for range n {
			s := signal.Signal{RecordedAt: rapid.Uint64().Draw(t, "time"), CWD: text.Draw(t, "cwd"), Payload: new(text.Draw(t, "payload"))}
			plain.Write(append(s.AppendLine(nil), '\n'))
			loose.WriteByte(' ')
			loose.Write(append(s.AppendLine(nil), '\n'))
		}
		var copied, numbered bytes.Buffer
		if _, err := copySignals(&copied, &loose, "ID", false); err != nil || copied.String() != plain.String() {
			t.Fatalf("%v: %q", err, copied.String())
		}
		if _, err := copySignals(&numbered, &plain, "ID", true); err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.SplitAfter(numbered.String(), "\n")[:n] {
			rest, ok := strings.CutPrefix(line, fmt.Sprintf(`{"id":"ID-%d",`, i+1))
			s, err := signal.ParseLine([]byte(line))
			if !ok || err != nil || string(s.AppendLine(nil))+"\n" != "{"+rest {
				t.Fatalf("line %d: %v: %q", i+1, err, line)
			}
		}
	})
	for _, bad := range []string{"x\n", "\n", "{}\n", `{"recorded_at":1,"cwd":"/"}` + "\n\n", strings.Repeat(" ", maxSignal+1)} {
		if _, err := copySignals(io.Discard, strings.NewReader(bad), "ID", false); !errors.Is(err, errUnfit) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}
