//go:build unix

package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is for whatever must happen at all.
const patience = time.Minute

// bin has the agent and the examples, ready to run.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "protocoltest")
		if err == nil {
			defer os.RemoveAll(dir)
			bin = dir
			err = errors.Join(
				build(filepath.Join(bin, "agent"), "spoolagent/cmd/agent"),
				prepareExamples())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func build(to, from string) error {
	if out, err := exec.Command("go", "build", "-o", to, from).CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", from, err, out)
	}
	return nil
}

// stage is a project, and an agent that serves it while it is running.
type stage struct {
	*testing.T
	home, project, config string
	xdgState              string // XDG_STATE_HOME
	agent                 *exec.Cmd
}

// newStage makes a project with a spool. No agent runs yet.
func newStage(t *testing.T, settings string) *stage {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, home: home, project: filepath.Join(home, "a project"), config: filepath.Join(home, "config.toml"),
		xdgState: filepath.Join(home, "state")}
	s.write(s.config, settings+"\nlog_level = \"error\"\n")
	for _, dir := range []string{"tmp", "incoming", "control", "rejected"} {
		if err := os.MkdirAll(s.spool(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *stage) spool(elem ...string) string {
	return filepath.Join(append([]string{s.project, ".spool"}, elem...)...)
}

func (s *stage) write(path, content string) {
	s.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
}

// command is one of the programs in bin, or of the system, in a process group
// of its own, in an environment where nothing of this user's is found.
func (s *stage) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home,
		"XDG_CONFIG_HOME=" + s.home, "XDG_STATE_HOME=" + s.xdgState}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (s *stage) agentCommand(args ...string) *exec.Cmd {
	return s.command(filepath.Join(bin, "agent"), append(args, "--config", s.config, "--project", s.project)...)
}

// start runs the agent, and returns once it serves.
func (s *stage) start() {
	s.Helper()
	s.launch()
	s.eventually("the agent serves", func() bool { return s.status().State == "serving" })
}

func (s *stage) launch() {
	s.Helper()
	s.agent = s.agentCommand("run")
	s.agent.Stderr = os.Stderr
	if err := s.agent.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(s.stop)
}

func (s *stage) stop() {
	if s.agent != nil {
		s.agent.Process.Signal(syscall.SIGTERM)
		s.agent.Wait()
		s.agent = nil
	}
}

func (s *stage) eventually(what string, ok func() bool) {
	s.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			s.Fatalf("waited in vain: %s", what)
		}
	}
}

type status struct {
	State, Error                        string
	Queued, Incoming, Replies, Rejected int
	Ledger                              struct{ Folded, Returned, External, Drained, Evicted, Rejected int }
}

func (s *stage) status() status {
	s.Helper()
	out, err := s.agentCommand("status", "--json").Output()
	var st struct{ Projects []status }
	if jerr := json.Unmarshal(out, &st); jerr != nil || len(st.Projects) != 1 {
		s.Fatalf("status: %v, %v: %s", err, jerr, out)
	}
	return st.Projects[0]
}

// checkLedger makes sure that it closes, and that everything was drained.
func (s *stage) checkLedger(signals int) {
	s.Helper()
	st := s.status()
	l := st.Ledger
	if l.Folded+l.Returned+l.External != st.Queued+l.Drained+l.Evicted {
		s.Errorf("the ledger does not close: %+v", st)
	}
	if l.Folded != signals || l.Drained-l.Returned != signals || l.External != 0 || l.Evicted != 0 || l.Rejected != 0 {
		s.Errorf("the ledger does not tell of %d signals, each drained once: %+v", signals, st)
	}
}

// list names what a directory of the spool has.
func (s *stage) list(dir string) (names []string) {
	s.Helper()
	entries, err := os.ReadDir(s.spool(dir))
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// replies are the unclaimed replies' paths.
func (s *stage) control(suffix string) (paths []string) {
	s.Helper()
	for _, name := range s.list("control") {
		if strings.HasSuffix(name, suffix) {
			paths = append(paths, s.spool("control", name))
		}
	}
	return paths
}

// result of a program that ended.
type result struct {
	status         int // -1: killed
	stdout, stderr string
}

// run runs a program to its end, with this on its standard input.
func (s *stage) run(cmd *exec.Cmd, stdin string) result {
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.Errorf("%v: %v", cmd.Args, err)
		return result{status: 127}
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must is run for what has to succeed.
func (s *stage) must(cmd *exec.Cmd, stdin string) string {
	r := s.run(cmd, stdin)
	if r.status != 0 {
		s.Errorf("%v: status %d: %s", cmd.Args, r.status, r.stderr)
	}
	return r.stdout
}

// kill ends a program and all that it has started, at once.
func kill(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// marks finds the signals among lines: their payloads have <NAME>.
func marks(lines string) (names []string) {
	for rest := lines; ; {
		_, after, found := strings.Cut(rest, "<")
		if !found {
			return names
		}
		name, after, closed := strings.Cut(after, ">")
		if !closed {
			return names // cut off by a kill
		}
		names, rest = append(names, name), after
	}
}
