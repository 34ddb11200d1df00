//go:build linux && clients

package clients

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"spoolagent/internal/agenttest"
)

// A user is one who has a client, and a project.
type user struct {
	*agenttest.User
	client  client
	model   *model
	project string
}

// somebody is who runs the clients if root runs the tests: several refuse to do
// as they are told for root.
const somebody = 61234

func newUser(t *testing.T, c client) *user {
	t.Helper()
	home, err := os.MkdirTemp("", "clients-") // t.TempDir would be closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	u := &user{User: agenttest.NewUserIn(t, home), client: c}
	u.project = filepath.Join(u.Home, "work")
	agenttest.Mkdir(t, u.project)
	agenttest.Mkdir(t, u.Home, "tmp")
	u.Env = []string{"TMPDIR=" + filepath.Join(u.Home, "tmp"), "TERM=dumb", "NO_COLOR=1", "USER=somebody"}
	u.model = newModel(t, c, u.project)
	c.prepare(u.model, u.Home)
	if os.Getuid() == 0 {
		u.Become(somebody)
	}
	u.Do(u.in("git", "init", "-q"))
	return u
}

func (u *user) in(name string, args ...string) *exec.Cmd {
	cmd := u.Command(name, args...)
	cmd.Dir = u.project
	return cmd
}

// run is a command of the client's.
func (u *user) run(args ...string) *exec.Cmd {
	cmd := u.in(filepath.Join(modules, u.client.program), args...)
	cmd.Env = append(cmd.Env, u.client.env(u.model)...)
	// The machine's own node may be too old for them.
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(modules, "node-linux-"+arch, "bin")+":"+os.Getenv("PATH"))
	return cmd
}

// ended is how a session has ended.
type ended struct {
	status      int // 128 and more: by a signal
	took        time.Duration
	out, errors string
}

// session has the client do a task. One that hangs is interrupted once it does.
func (u *user) session(s session) ended {
	text := prompt(s.task)
	if strings.HasPrefix(s.task, "/") { // a command
		text = s.task
	}
	cmd := u.run(append(u.client.args(text), s.args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	if err := cmd.Start(); err != nil {
		u.Error(err)
		return ended{}
	}
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	hangs := u.model.hangs
	limit := time.After(2 * time.Minute)
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-hangs:
			syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // as a terminal does
		case <-limit:
			u.Errorf("%s: %s does not end: %s", u.client.name, s.task, errs.String())
			limit = nil
			agenttest.KillGroup(cmd)
		}
	}
	took := time.Since(start)
	status := cmd.ProcessState.ExitCode()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	lines := strings.Split(strings.ReplaceAll(out.String(), u.Home, "HOME"), "\n")
	slices.Sort(lines) // those of calls that were made at once come in any order
	return ended{status, took, strings.Join(lines, "\n"), errs.String()}
}

var unique atomic.Int64
