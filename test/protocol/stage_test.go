//go:build unix

package protocol

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// bin has the examples, ready to run.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "protocol")
		if err == nil {
			defer os.RemoveAll(dir)
			bin = dir
			err = writeExamples()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// stage is a user with a project, and an agent that serves it while it is running.
type stage struct {
	*agenttest.User
	project string
	agent   *agenttest.Process
}

// newStage makes a project with a spool. No agent runs yet.
func newStage(t *testing.T, settings string) *stage {
	t.Helper()
	s := &stage{User: agenttest.NewUser(t)}
	s.configure(settings)
	s.project = s.Project("a project")
	return s
}

func (s *stage) configure(settings string) { s.Configure(settings + "\nlog_level = \"error\"\n") }

func (s *stage) spool(elem ...string) string {
	return filepath.Join(append([]string{s.project, ".spool"}, elem...)...)
}

// start runs the agent, and returns once it serves.
func (s *stage) start() {
	s.Helper()
	s.agent = s.Run("--project", s.project)
	agenttest.Until(s, "the agent serves", func() bool { return s.status().State == "serving" })
}

func (s *stage) status() agenttest.Project {
	s.Helper()
	return s.ProjectStatus(s.project)
}

// checkLedger makes sure that it closes, and that everything was drained.
func (s *stage) checkLedger(signals int) {
	s.Helper()
	st := s.status()
	l := st.Ledger
	if !st.Closes() || l.Folded != signals || l.Drained-l.Returned != signals || l.External != 0 || l.Evicted != 0 || l.Rejected != 0 {
		s.Errorf("the ledger does not tell of %d signals, each drained once: %+v", signals, st)
	}
}

// returned waits until so many signals of a reply are back in the queue, and
// has an agent serve from then on that gives consumers all the time they need.
func (s *stage) returned(signals int) {
	s.Helper()
	agenttest.Until(s, "the reply is back", func() bool { return s.status().Ledger.Returned == signals })
	s.agent.Stop()
	s.configure("")
	s.start()
}

// list names what a directory of the spool has.
func (s *stage) list(dir string) []string {
	s.Helper()
	return agenttest.List(s, s.spool(dir))
}

// control are the paths of what has this suffix in control.
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

// drop leaves a signal <NAME>.
func (s *stage) drop(name string) {
	s.Helper()
	agenttest.Drop(s, s.project, name)
}

// dropMuch leaves more than a pipe holds, and returns the names in order.
func (s *stage) dropMuch() (names []string) {
	for i := range 40 {
		name := fmt.Sprintf("%02d%s", i, strings.Repeat("x", 4000))
		s.drop(name)
		names = append(names, name)
	}
	return names
}

// expect drains by the example in this language, and compares.
func (s *stage) expect(l language, want ...string) {
	s.Helper()
	if got := agenttest.Names(s.must(l.consumer(s, "60"), "")); !slices.Equal(got, want) {
		s.Errorf("drained %.200q, want %.200q", got, want)
	}
}
