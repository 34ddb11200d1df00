package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// limit is how long a condition may take to become true. It is only met by
// what is broken.
const limit = 30 * time.Second

// helperEnv makes the test binary do something else, as a process of its own:
// "agent" serves the projects in its arguments, "limited" does so with 64 open
// files, "lock" locks a file. All say so on stdout, and end when stdin does.
const helperEnv = "AGENT_TEST_HELPER"

var helpers = map[string]func(){"agent": helpAgent, "lock": helpLock}

func TestMain(m *testing.M) {
	if help := helpers[os.Getenv(helperEnv)]; help != nil {
		help()
		return
	}
	goleak.VerifyTestMain(m)
}

func helpAgent() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	err := Run(ctx, Config{
		Settings: Settings{Projects: os.Args[2:], Options: options(), ScanInterval: DefaultScanInterval},
		StateDir: os.Args[1],
		Version:  "helper",
		Log:      zerolog.New(os.Stdout),
		Notify:   func(string) {},
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func helpLock() {
	lock := flock.New(os.Args[1])
	if err := lock.Lock(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
}

// help starts a helper and waits until it says ready. kill ends it like a power
// cut would, and may be called twice.
func help(t *testing.T, what, ready string, args ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+what)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill = func() {
		once.Do(func() {
			cmd.Process.Kill()
			in.Close()
			cmd.Wait()
		})
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), ready) {
			var log syncBuffer
			go io.Copy(&log, out)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the helper:\n%s", log.String())
				}
			})
			return kill
		}
	}
	t.Fatalf("helper %s ended before it was ready", what)
	return nil
}

func options() queue.Options {
	o := queue.DefaultOptions()
	o.Fsync = false
	return o
}

// dir makes a fresh directory, by its real name.
func dir(t *testing.T) string {
	t.Helper()
	d, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// running is an agent under test.
type running struct {
	t     *testing.T
	state string // its state directory
	log   *syncBuffer
	stop  context.CancelFunc
	done  chan struct{}
	err   error // once done
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs an agent for these projects until the test ends. What cfg leaves
// out is filled in; events alone must do, for no scan comes within the test.
func start(t *testing.T, cfg Config, projects ...string) *running {
	t.Helper()
	r := &running{t: t, log: &syncBuffer{}, done: make(chan struct{})}
	cfg.Projects = projects
	if cfg.Options == (queue.Options{}) {
		cfg.Options = options()
	}
	if cfg.StateDir == "" {
		cfg.StateDir = dir(t)
	}
	if cfg.ScanInterval == 0 {
		cfg.ScanInterval = time.Hour
	}
	if cfg.Registry.Dir == "" {
		cfg.Registry.Dir = filepath.Join(cfg.StateDir, "projects")
	}
	if cfg.Notify == nil {
		cfg.Notify = func(string) {}
	}
	cfg.Version = "test"
	cfg.Log = zerolog.New(r.log)
	r.state = cfg.StateDir
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() {
		defer close(r.done)
		r.err = Run(ctx, cfg)
	}()
	t.Cleanup(func() {
		r.end()
		if t.Failed() {
			t.Logf("log of the agent:\n%s", r.log)
		}
	})
	return r
}

// end stops the agent and waits for its end.
func (r *running) end() error {
	r.t.Helper()
	r.stop()
	return r.wait()
}

func (r *running) wait() error {
	r.t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(limit):
		r.t.Fatal("the agent does not end")
		return nil
	}
}

// user is what the agent for all projects says of itself.
func user(t *testing.T, state string) Holder {
	t.Helper()
	h, ok, err := User(state)
	must(t, err)
	if !ok {
		return Holder{}
	}
	return h
}

// logged is what an agent logs of a project's state.
type logged struct {
	Project string
	State   State
	Message string
}

// project is what the agent said last of a project; nothing if it does not serve
// it any more.
func (r *running) project(path string) (last logged) {
	r.t.Helper()
	for line := range strings.Lines(r.log.String()) {
		var l logged
		if json.Unmarshal([]byte(line), &l) != nil || l.Project != path {
			continue
		}
		if l.State != "" {
			last = l
		} else if l.Message == notServed {
			last = logged{}
		}
	}
	return last
}

func (r *running) until(path string, s State) logged {
	r.t.Helper()
	var p logged
	eventually(r.t, fmt.Sprintf("%s is %s", filepath.Base(path), s), func() bool {
		p = r.project(path)
		return p.State == s
	})
	return p
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		}
	}
}

// open opens a project's spool, for as long as the test runs.
func open(t *testing.T, project string) *spoolfiles.Spool {
	t.Helper()
	sp, err := spoolfiles.Create(project)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Close() })
	return sp
}

// drop leaves a signal, as a hook does: it makes the spool if there is none,
// and tries again if that is deleted under its hands.
func drop(t *testing.T, project, tool string) {
	t.Helper()
	var err error
	for range 100 {
		err = spoolfiles.Drop(project, signal.Signal{RecordedAt: 1, CWD: project, ToolName: &tool}.AppendLine(nil))
		if err == nil {
			return
		}
	}
	t.Fatal(err)
}

// tools returns the tool names of the lines of a file.
func tools(t *testing.T, path string) (names []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var s struct {
			Tool string `json:"tool_name"`
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue // what an evicted signal has left
		}
		if json.Unmarshal(line, &s) != nil {
			return nil // just being written
		}
		if s.Tool != "" {
			names = append(names, s.Tool)
		}
	}
	return names
}

func inSpool(project string, path ...string) string {
	return filepath.Join(append([]string{project, spoolfiles.DirName}, path...)...)
}

// queued waits until the queue has a signal of each of these tools, in order.
func queued(t *testing.T, project string, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %v queued", filepath.Base(project), want), func() bool {
		return slices.Equal(tools(t, inSpool(project, queue.FileName)), want)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
