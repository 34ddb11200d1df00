//go:build unix

package agenttest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// User is a user of the agent, with a home directory of the test's own. Nothing
// of the user who runs the tests is found in there.
type User struct {
	testing.TB
	Home  string   // absolute, without symbolic links
	Env   []string // of commands, beside HOME and PATH
	agent string
	who   *syscall.Credential // nil: who runs the test
}

// NewUser makes one, who has the program.
func NewUser(t testing.TB) *User {
	t.Helper()
	return NewUserIn(t, t.TempDir())
}

// NewUserIn is NewUser with a home directory that is there.
func NewUserIn(t testing.TB, dir string) *User {
	t.Helper()
	home, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &User{TB: t, Home: home, agent: Binary(t)}
}

// Become has the user's commands run as another user of the machine, who gets
// the home directory and, in its bin, the programs. Only root can do so.
func (u *User) Become(id uint32) {
	u.Helper()
	for _, program := range []string{u.agent, Hook(u)} {
		data, path := Read(u, program), filepath.Join(u.Home, "bin", filepath.Base(program))
		Mkdir(u, filepath.Dir(path))
		if err := os.WriteFile(path, []byte(data), 0o700); err != nil {
			u.Fatal(err)
		}
	}
	u.agent = filepath.Join(u.Home, "bin", filepath.Base(u.agent))
	u.who = &syscall.Credential{Uid: id, Gid: id}
	err := filepath.WalkDir(u.Home, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(id), int(id))
	})
	if err != nil {
		u.Fatal(err)
	}
}

// State is the agent's state directory.
func (u *User) State() string { return filepath.Join(u.Home, ".local", "state", "spool-agent") }

// Configure writes the agent's configuration, by rename.
func (u *User) Configure(toml string) {
	u.Helper()
	path := filepath.Join(u.Home, ".config", "spool-agent", "config.toml")
	Mkdir(u, filepath.Dir(path))
	Write(u, path+".new", toml)
	if err := os.Rename(path+".new", path); err != nil {
		u.Fatal(err)
	}
}

// Project makes a directory with this path below the home directory, and a
// spool in it. It is not registered.
func (u *User) Project(elem ...string) string {
	u.Helper()
	project := filepath.Join(append([]string{u.Home}, elem...)...)
	u.MakeSpool(project)
	return project
}

// MakeSpool makes what is missing of a project's spool, as any program may.
func (u *User) MakeSpool(project string) {
	u.Helper()
	for _, dir := range []string{"tmp", "incoming", "control", "rejected"} {
		Mkdir(u, project, ".spool", dir)
	}
}

// Register tells the agent of a project, as a hook does.
func (u *User) Register(project, name string) {
	u.Helper()
	dir := filepath.Join(u.State(), "projects")
	Mkdir(u, dir)
	Write(u, filepath.Join(dir, "."+name), project+"\n")
	if err := os.Rename(filepath.Join(dir, "."+name), filepath.Join(dir, name)); err != nil {
		u.Fatal(err)
	}
}

// Command is one of this user's: in the home directory, with nothing in the
// environment but HOME, PATH and Env, and in a process group of its own.
func (u *User) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = u.Home
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.Home}, u.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: u.who}
	return cmd
}

// Agent is a command of the agent.
func (u *User) Agent(args ...string) *exec.Cmd { return u.Command(u.agent, args...) }

// Do runs a command that must succeed, and returns its standard output.
func (u *User) Do(cmd *exec.Cmd) string {
	u.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		u.Fatalf("%q: %v: %s", cmd.Args, err, errs.String())
	}
	return out.String()
}

// Quiet runs a command that must succeed and print nothing, as hooks do.
func (u *User) Quiet(cmd *exec.Cmd, stdin string) {
	u.Helper()
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		u.Errorf("%q: %v, it printed %q", cmd.Args, err, out)
	}
}

// Project is a project in the JSON of "agent status".
type Project struct {
	Path, State, Error                  string
	Queued, Incoming, Replies, Rejected int
	Cap                                 int
	Ledger                              Ledger
}

// Ledger has the totals of a project.
type Ledger struct{ Folded, Returned, External, Drained, Evicted, Rejected int }

// Closes reports whether every signal that came is accounted for.
func (p Project) Closes() bool {
	l := p.Ledger
	return l.Folded+l.Returned+l.External == p.Queued+l.Drained+l.Evicted
}

// Empty reports whether nothing waits in the project.
func (p Project) Empty() bool { return p.Queued == 0 && p.Incoming == 0 && p.Replies == 0 }

// Report is the JSON of "agent status".
type Report struct {
	Running  bool
	PID      int
	Problem  string
	Projects []Project
}

// Report is what "agent status" says of all projects, or of one.
func (u *User) Report(project ...string) (r Report) {
	u.Helper()
	args := []string{"status", "--json"}
	for _, p := range project {
		args = append(args, "--project", p)
	}
	out, err := u.Agent(args...).Output() // its exit status says what the text does
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		u.Fatalf("agent status: %v, %v: %s", err, jerr, out)
	}
	return r
}

// ProjectStatus is what "agent status" says of one project.
func (u *User) ProjectStatus(project string) Project {
	u.Helper()
	all := u.Report(project).Projects
	if len(all) != 1 {
		u.Fatalf("agent status: %d projects, not one: %+v", len(all), all)
	}
	return all[0]
}

// States counts the projects by what the agent does for them.
func (u *User) States() map[string]int {
	u.Helper()
	n := map[string]int{}
	for _, p := range u.Report().Projects {
		n[p.State]++
	}
	return n
}

// Process is an agent that runs.
type Process struct {
	*exec.Cmd
	t     testing.TB
	log   bytes.Buffer
	ended bool
}

// Run starts "agent run". It is stopped at the end of the test, if nothing else
// has ended it.
func (u *User) Run(args ...string) *Process {
	u.Helper()
	return u.Start(u.Agent(append([]string{"run"}, args...)...))
}

// Start starts an agent by another command, which becomes the agent.
func (u *User) Start(cmd *exec.Cmd) *Process {
	u.Helper()
	p := &Process{Cmd: cmd, t: u}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.log
	}
	if err := cmd.Start(); err != nil {
		u.Fatal(err)
	}
	u.Cleanup(p.Stop)
	return p
}

// Stop ends an agent as a service manager does, and expects that it ends well.
func (p *Process) Stop() {
	if p.ended {
		return
	}
	if err := p.End(syscall.SIGTERM); err != nil {
		p.t.Errorf("the agent: %v\n%s", err, p.log.String())
	}
}

// Kill kills an agent, with all that it has started.
func (p *Process) Kill() {
	if !p.ended {
		p.End(syscall.SIGKILL)
	}
}

// End sends a signal, waits until the process is gone, and returns how it ended.
func (p *Process) End(sig syscall.Signal) error {
	p.ended = true
	if sig == syscall.SIGKILL {
		KillGroup(p.Cmd)
	} else {
		p.Process.Signal(sig)
	}
	err := p.Wait()
	if text := p.log.String(); strings.Contains(text, "panic: ") || strings.Contains(text, "fatal error: ") {
		p.t.Errorf("the agent broke:\n%s", text)
	}
	return err
}

// Log is what a process that has ended had written.
func (p *Process) Log() string { return p.log.String() }

// KillGroup ends what [User.Command] made, and all that it has started.
func KillGroup(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
