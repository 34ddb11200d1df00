//go:build linux && systemd

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"spoolagent/internal/agenttest"
	"spoolagent/service"
)

// TestService proves the service with a real systemd --user, as an ordinary
// user in a home directory with an awkward name. testdata/systemd.sh makes
// both, and runs this test again in there.
func TestService(t *testing.T) {
	if os.Getenv("INSIDE") != "" {
		inside(t)
		return
	}
	dir := t.TempDir()
	files := []string{"../../configs/install.sh", agenttest.Hook(t)}
	for name, flags := range map[string]string{"agent-old": "-s", "agent-new": "-s -w"} {
		file := filepath.Join(dir, name)
		if err := agenttest.Build(file, "./cmd/agent", "-ldflags="+flags); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	outside(t, files...)
}

// outside runs this test again as a user with a systemd, who has these files.
func outside(t *testing.T, files ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"testdata/systemd.sh", self}, files...)...)
	cmd.Env = append(os.Environ(), "TEST_FLAGS=-test.run=^"+t.Name()+"$ -test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.CombinedOutput()
	t.Logf("inside:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// box is a user with a systemd and three projects.
type box struct {
	*testing.T
	home, unit string
	agent      string // what the user runs
	program    string // what the service runs
	projects   []string
	dropped    map[string][]string // payloads, by project
}

func inside(t *testing.T) {
	b := newBox(t)
	home := b.home
	// Cursor's command has the short name.
	cursor := filepath.Join(home, ".local", "share", "cursor-agent", "cursor-agent")
	b.check(os.MkdirAll(filepath.Dir(cursor), 0o700))
	b.check(os.WriteFile(cursor, []byte("#!/bin/sh\nexit 0\n"), 0o700))
	b.check(os.MkdirAll(filepath.Dir(b.agent), 0o700))
	b.check(os.Symlink("../share/cursor-agent/cursor-agent", filepath.Join(home, ".local", "bin", "agent")))
	b.put("agent-old")
	before := b.files()

	for _, step := range []struct {
		name string
		do   func()
	}{
		{"unreachable", b.unreachable},
		{"lingering", b.lingering},
		{"half installed", b.halfInstalled},
		{"killed installers", b.killedInstallers},
		{"elsewhere", b.elsewhere},
		{"install", b.install},
		{"install again", b.again},
		{"another agent", b.anotherAgent},
		{"serve", b.serve},
		{"killed", b.killed},
		{"hung", b.hung},
		{"reload", b.reload},
		{"upgrade", b.upgrade},
		{"nothing lost", b.nothingLost},
		{"stop and start", b.stopAndStart},
		{"broken", b.broken},
		{"uninstall", func() { b.uninstall(before) }},
		{"install after all", b.install},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			b.T = t
			defer func() {
				if t.Failed() {
					b.diagnose()
				}
			}()
			step.do()
			target, err := os.Readlink(filepath.Join(home, ".local", "bin", "agent"))
			text, rerr := os.ReadFile(cursor)
			if target != "../share/cursor-agent/cursor-agent" || string(text) != "#!/bin/sh\nexit 0\n" {
				t.Errorf("Cursor's command is a link to %q, %v, to %q, %v", target, err, text, rerr)
			}
		})
		b.T = t
		if !ok {
			return
		}
	}
}

func newBox(t *testing.T) *box {
	home := os.Getenv("HOME")
	b := &box{
		T:       t,
		home:    home,
		agent:   filepath.Join(home, ".local", "bin", "spool-agent"),
		program: filepath.Join(home, ".local", "share", "spool-agent", "bin", "spool-agent"),
		unit:    filepath.Join(home, ".config", "systemd", "user", "spool-agent.service"),
		dropped: make(map[string][]string),
	}
	for _, name := range []string{"one", "two", "three"} {
		b.projects = append(b.projects, filepath.Join(home, "code", name))
		b.check(os.MkdirAll(filepath.Join(home, "code", name), 0o700))
	}
	b.configure("cap = 0")
	return b
}

func (b *box) check(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// try runs a command, in the first project, and returns all it prints.
func (b *box) try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = b.projects[0]
	out, err := cmd.CombinedOutput()
	b.Logf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	return string(out), err
}

func (b *box) run(name string, args ...string) string {
	b.Helper()
	out, err := b.try(name, args...)
	b.check(err)
	return out
}

// says runs the agent, which must say all that.
func (b *box) says(args string, want ...string) {
	b.Helper()
	out := b.run(b.agent, strings.Fields(args)...)
	for _, w := range want {
		if !strings.Contains(out, w) {
			b.Errorf("agent %s does not say %q", args, w)
		}
	}
}

// property asks systemd.
func (b *box) property(name string) string {
	b.Helper()
	out, err := exec.Command("systemctl", "--user", "show", "spool-agent.service", "-p", name).Output()
	b.check(err)
	_, value, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
	return value
}

func (b *box) number(name string) int {
	b.Helper()
	n, err := strconv.Atoi(b.property(name))
	b.check(err)
	return n
}

// put installs one of the builds, as "make install" does.
func (b *box) put(build string) {
	b.Helper()
	test, from := filepath.Join(b.home, "test"), b.TempDir()
	b.check(os.Symlink(filepath.Join(test, build), filepath.Join(from, "spool-agent")))
	b.check(os.Symlink(filepath.Join(test, "spool-hook"), filepath.Join(from, "spool-hook")))
	b.run("sh", filepath.Join(test, "install.sh"), "install", from, filepath.Dir(b.agent))
}

// become has the service's program be something else.
func (b *box) become(text []byte) {
	b.Helper()
	b.check(os.MkdirAll(filepath.Dir(b.program), 0o700))
	b.check(os.WriteFile(b.program+".test", text, 0o700))
	b.check(os.Rename(b.program+".test", b.program))
}

func (b *box) configure(text string) {
	b.Helper()
	file := filepath.Join(b.home, ".config", "spool-agent", "config.toml")
	b.check(os.MkdirAll(filepath.Dir(file), 0o700))
	b.check(os.WriteFile(file, []byte(text+"\n"), 0o600))
}

// files lists what is in the user's home, but for the agent's state, the
// projects and what this test is made of.
func (b *box) files() []string {
	b.Helper()
	var files []string
	b.check(filepath.WalkDir(b.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch path {
		case filepath.Join(b.home, "test"), filepath.Join(b.home, "code"),
			filepath.Join(b.home, ".local", "state", "spool-agent"), filepath.Join(b.home, ".cache"):
			return filepath.SkipDir
		case filepath.Join(b.home, ".local", "state"):
			return nil
		}
		files = append(files, path)
		return nil
	}))
	return files
}

// drop leaves n drops in each of the projects.
func (b *box) drop(n int, projects ...string) {
	b.Helper()
	for range n {
		for _, project := range projects {
			name := fmt.Sprintf("%s %d", filepath.Base(project), len(b.dropped[project]))
			agenttest.Drop(b, project, name)
			b.dropped[project] = append(b.dropped[project], name)
		}
	}
}

// folded waits until all drops are in the queues.
func (b *box) folded(projects ...string) {
	b.Helper()
	for _, project := range projects {
		agenttest.Until(b, "all drops are folded in "+project, func() bool {
			return len(b.peek(project)) == len(b.dropped[project])
		})
	}
}

func (b *box) peek(project string) []string { return b.names("peek", project) }

// names are those of the signals that a verb prints.
func (b *box) names(verb, project string) []string {
	b.Helper()
	out, err := exec.Command(b.agent, verb, "--project", project).Output()
	b.check(err)
	names, err := agenttest.WholeNames(string(out))
	b.check(err)
	return names
}

// meanwhile drops without end, until what is to be done is done.
func (b *box) meanwhile(do func()) {
	b.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				b.drop(1, b.projects...)
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	do()
}

func (b *box) diagnose() {
	for _, args := range []string{"status spool-agent.service", "cat spool-agent.service"} {
		b.try("systemctl", append([]string{"--user", "--no-pager"}, strings.Fields(args)...)...)
	}
	if log, err := os.ReadFile(filepath.Join(b.home, "test", "systemd.log")); err == nil {
		b.Logf("systemd's log:\n%s", log)
	}
}

// A shell outside of the session: nothing is written.
func (b *box) unreachable() {
	b.Setenv("XDG_RUNTIME_DIR", "")
	before := b.files()
	for _, verb := range []string{"install", "uninstall", "start", "stop", "restart"} {
		out, err := b.try(b.agent, verb)
		if exitStatus(err) != exitFailed || !strings.Contains(out, "export XDG_RUNTIME_DIR=/run/user/") {
			b.Errorf("%s does not say what to do", verb)
		}
	}
	if st := b.state(); st.Reach == nil || st.Installed || st.Running || st.File != b.unit {
		b.Errorf("the state is said to be %+v", st)
	}
	if diff := cmp.Diff(before, b.files()); diff != "" {
		b.Error("files have changed (-before +after):\n", diff)
	}
}

// systemd-logind would need the whole machine, so somebody else does its part.
func (b *box) lingering() {
	out, err := b.try(b.agent, "install", "--linger")
	if exitStatus(err) != exitFailed || !strings.Contains(out, "sudo loginctl enable-linger jo") {
		b.Error("install does not say what to do without systemd-logind")
	}
	tools := b.TempDir()
	b.check(os.WriteFile(filepath.Join(tools, "loginctl"), []byte(`#!/bin/sh
[ "$*" = "--no-ask-password enable-linger jo" ] && : >/var/lib/systemd/linger/jo
`), 0o700))
	b.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	b.says("install --linger", "turned lingering on", "started it")
	out = b.run(b.agent, "install", "--linger")
	if !strings.Contains(out, "lingering is on already") || strings.Contains(out, "log out") {
		b.Error("install does not know that lingering is on")
	}
	b.says("uninstall", "lingering stays on")
	b.check(os.Remove("/var/lib/systemd/linger/jo"))
}

// What is half there is made whole, or removed.
func (b *box) halfInstalled() {
	b.says("uninstall", "nothing to do")
	out, err := b.try(b.agent, "start")
	if exitStatus(err) != exitFailed || !strings.Contains(out, "not installed") {
		b.Error("start does not say that nothing is installed")
	}
	b.says("install")
	b.run("systemctl", "--user", "disable", "--now", "spool-agent.service")
	b.says("install", "enabled it", "started it")
	b.check(os.WriteFile(b.unit, []byte("[Service]\nExecStart=/bin/false\n"), 0o600))
	b.says("install", "wrote "+b.unit, "restarted it")
	// Killed when the unit was written, and systemd not yet told.
	b.check(os.Chtimes(b.unit, time.Time{}, time.Now()))
	b.says("install", "restarted it")
	if got := b.property("NeedDaemonReload"); got != "no" {
		b.Error("systemd was not told of the new unit")
	}
	b.says("install", "nothing to do")
	b.check(os.Remove(b.unit)) // the link to it stays
	b.says("uninstall", "stopped it")
	b.says("uninstall", "nothing to do")
}

// An installer may be killed at any moment, and the disk may be full: a unit that
// was there stays whole, and the next installer completes what is missing.
func (b *box) killedInstallers() {
	b.says("install", "wrote")
	whole, err := os.ReadFile(b.unit)
	b.check(err)
	b.says("uninstall")
	full := []string{"sh", "-c", `ulimit -f 0; "$0" install`, b.agent}
	if out, err := b.try(full[0], full[1:]...); err == nil || !strings.Contains(out, "putting the service's program in place") {
		b.Error("a full disk is no error")
	}
	if _, err := os.Lstat(b.program); err == nil {
		b.Error("a program is left although it could not be written")
	}
	program, err := os.ReadFile(b.agent)
	b.check(err)
	b.become(program)
	if out, err := b.try(full[0], full[1:]...); err == nil || !strings.Contains(out, "installing the service") {
		b.Error("a full disk is no error, though there is the program")
	}
	if _, err := os.Lstat(b.unit); err == nil {
		b.Error("a unit is left although it could not be written")
	}
	asideProgram := filepath.Join(filepath.Dir(b.program), ".spool-agent.new")
	aside := filepath.Join(filepath.Dir(b.unit), ".spool-agent.service.new")

	// hit is an install with something that hits it; it reports whether it was hit.
	hit := func(name string, args ...string) bool {
		_, err := b.try(name, args...)
		b.says("install")
		if unit, err := os.ReadFile(b.unit); err != nil || !bytes.Equal(unit, whole) {
			b.Errorf("after another install, the unit is %q, %v", unit, err)
		}
		for _, file := range []string{aside, asideProgram} {
			if _, err := os.Lstat(file); err == nil {
				b.Error("what an installer has left is still there: ", file)
			}
		}
		if got, err := os.ReadFile(b.program); err != nil || !bytes.Equal(got, program) {
			b.Error("after another install, the service's program is another: ", err)
		}
		if got := b.property("UnitFileState") + " " + b.property("ActiveState") + " " + b.property("NeedDaemonReload"); got != "enabled active no" {
			b.Error("after another install, the service is ", got)
		}
		b.says("uninstall")
		return err != nil
	}
	// killedAt is an install that is killed when it makes a call on a file.
	killedAt := func(call, file string) []string {
		return []string{"-f", "-qq", "-o", "/dev/null", "-P", file, "-e", "trace=" + call, "-e", "inject=" + call + ":signal=KILL:when=1", b.agent, "install"}
	}
	if _, err := b.try("strace", killedAt("write", b.unit)...); err == nil {
		b.Error("not killed when it wrote the unit")
	}
	if unit, err := os.ReadFile(b.unit); err != nil || len(unit) > 0 {
		b.Errorf("killed when it wrote the unit, which is %q, %v", unit, err)
	}
	hit("true") // mends it
	other := []byte("[Service]\nExecStart=/bin/false\n")
	for _, args := range [][]string{
		append([]string{"strace"}, killedAt("write", aside)...),
		append([]string{"strace"}, killedAt("renameat", aside)...),
		full,
	} {
		b.says("install")
		b.check(os.WriteFile(b.unit, other, 0o600))
		if _, err := b.try(args[0], args[1:]...); err == nil {
			b.Errorf("%q had no error", args)
		}
		if unit, err := os.ReadFile(b.unit); err != nil || !bytes.Equal(unit, other) {
			b.Errorf("the unit that was there is %q, %v", unit, err)
		}
		hit("true") // mends it
	}
	for _, args := range [][]string{
		append([]string{"strace"}, killedAt("write", asideProgram)...),
		append([]string{"strace"}, killedAt("renameat", asideProgram)...),
		full,
	} {
		b.says("install")
		b.become(other)
		if _, err := b.try(args[0], args[1:]...); err == nil {
			b.Errorf("%q had no error", args)
		}
		if got, err := os.ReadFile(b.program); err != nil || !bytes.Equal(got, other) {
			b.Errorf("the program that was there is %d bytes, %v", len(got), err)
		}
		hit("true") // mends it
	}
	// All that is asked of systemd goes by systemctl. Whoever calls it for the
	// n-th time gets an error, or is killed.
	systemctl, err := exec.LookPath("systemctl")
	b.check(err)
	tools := b.TempDir()
	b.check(os.WriteFile(filepath.Join(tools, "systemctl"), fmt.Appendf(nil, `#!/bin/sh
echo . >>"$CALLS"
[ "$(wc -l <"$CALLS")" -ne "$AT" ] || case $BLOW in
kill) kill -KILL $PPID ;;
error) exit 1 ;;
esac
exec %s "$@"
`, systemctl), 0o700))
	struck := func(blow string, at int, verb string) []string {
		return []string{"PATH=" + tools + ":" + os.Getenv("PATH"), "CALLS=" + filepath.Join(b.TempDir(), "calls"),
			"AT=" + strconv.Itoa(at), "BLOW=" + blow, b.agent, verb}
	}
	for at := range 8 {
		failed := hit("env", struck("error", at+1, "install")...)
		if enabling := at == 2 || at == 3; failed == enabling { // what kardianos/service does there is done again
			b.Errorf("an error of call %d of systemctl is an error: %v", at+1, failed)
		}
	}
	at := 1
	for hit("env", struck("kill", at, "install")...) {
		at++
	}
	if at < 8 {
		b.Errorf("only %d calls of systemctl", at)
	}

	before := b.files()
	for at, err := 0, errors.New(""); err != nil; {
		at++
		b.says("install")
		_, err = b.try("env", struck("kill", at, "uninstall")...)
		b.says("uninstall")
		if diff := cmp.Diff(before, b.files()); diff != "" {
			b.Error("files are left after the second uninstall (-before +after):\n", diff)
		}
		if got := b.property("LoadState") + " " + b.property("ActiveState"); got != "not-found inactive" {
			b.Error("after a second uninstall, the service is ", got)
		}
	}
}

// A shell may have another XDG_CONFIG_HOME than the manager, and there may be
// units that are not ours.
func (b *box) elsewhere() {
	b.Setenv("XDG_CONFIG_HOME", filepath.Join(b.home, "test", "config %h"))
	b.says("install", "wrote "+b.unit)
	environ, err := os.ReadFile("/proc/" + b.property("MainPID") + "/environ")
	if err != nil || !strings.Contains(string(environ), "\x00XDG_CONFIG_HOME="+os.Getenv("XDG_CONFIG_HOME")+"\x00") {
		b.Errorf("the service has another XDG_CONFIG_HOME: %q, %v", environ, err)
	}
	b.says("uninstall")

	// A manager that reads units elsewhere: nothing is written.
	home := filepath.Join(b.home, "test", "home")
	b.check(os.MkdirAll(home, 0o700))
	out, err := b.try("env", "HOME="+home, b.agent, "install")
	if exitStatus(err) != exitFailed || !strings.Contains(out, "does not read units in "+home) {
		b.Error("install does not say that the manager reads units elsewhere")
	}
	if _, err := os.Lstat(filepath.Join(home, ".config", "systemd")); err == nil {
		b.Error("install writes where the manager does not read")
	}

	// Whatever happens to a directory in PATH, the service runs its own program.
	links := filepath.Join(b.home, "links")
	b.check(os.Mkdir(links, 0o700))
	b.check(os.Symlink(b.agent, filepath.Join(links, "agent")))
	b.run("env", "PATH="+links+":"+os.Getenv("PATH"), "agent", "install")
	if got := b.state().Binary; got != b.program {
		b.Errorf("called by a link, it installs %s", got)
	}
	b.says("install", "nothing to do")
	b.check(os.Remove(b.agent))
	b.run(b.program, "restart")
	b.run(b.program, "uninstall")
	b.put("agent-old")
	b.check(os.RemoveAll(links))

	b.run("systemctl", "--user", "mask", "spool-agent.service")
	for _, verb := range []string{"install", "uninstall"} {
		out, err := b.try(b.agent, verb)
		if exitStatus(err) != exitFailed || !strings.Contains(out, b.unit+" is no regular file") {
			b.Errorf("%s does not respect a masked unit", verb)
		}
	}
	if out, err := b.try(b.agent, "start"); exitStatus(err) != exitFailed || !strings.Contains(out, "masked") {
		b.Error("start does not say that the unit is masked")
	}
	b.run("systemctl", "--user", "unmask", "spool-agent.service")

	packaged := filepath.Join(b.home, ".local", "share", "systemd", "user", "spool-agent.service")
	b.check(os.MkdirAll(filepath.Dir(packaged), 0o700))
	b.check(os.WriteFile(packaged, []byte("[Service]\nExecStart=/bin/sleep 1000\n"), 0o600))
	b.run("systemctl", "--user", "daemon-reload")
	b.says("start", "started it")
	b.says("uninstall", "stopped it", packaged)
	if _, err := os.Stat(packaged); err != nil {
		b.Error("what somebody else has installed is removed: ", err)
	}
	b.check(os.RemoveAll(filepath.Join(b.home, ".local", "share", "systemd")))
	b.run("systemctl", "--user", "daemon-reload")
}

func (b *box) install() {
	b.says("install", "wrote "+b.unit, "enabled it", "started it: active (running)", "--linger", b.program, "journalctl --user -u spool-agent")
	if got := b.run("systemctl", "--user", "is-enabled", "spool-agent.service"); got != "enabled\n" {
		b.Error("is not enabled")
	}
	wants := filepath.Join(filepath.Dir(b.unit), "default.target.wants", "spool-agent.service")
	if target, err := os.Readlink(wants); err != nil || target != b.unit {
		b.Errorf("default.target wants %q, %v", target, err)
	}
	for name, want := range map[string]string{
		"ActiveState": "active", "SubState": "running", "Type": "notify", "LoadState": "loaded",
		"Restart": "always", "RestartUSec": "1s", "WatchdogUSec": "2min", "NRestarts": "0",
	} {
		if got := b.property(name); got != want {
			b.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	want := service.State{
		Manager: "systemd --user", Installed: true, Enabled: true, Running: true, PID: b.number("MainPID"), Detail: "active (running)",
		Binary: b.program, File: b.unit, Logs: "journalctl --user -u spool-agent", Linger: service.LingerOff,
	}
	if diff := cmp.Diff(want, b.state()); diff != "" {
		b.Error("state (-want +got):\n", diff)
	}
	// It is what the unit says, in spite of what is in the paths.
	proc := "/proc/" + b.property("MainPID")
	if exe, err := os.Readlink(proc + "/exe"); err != nil || exe != b.program {
		b.Errorf("the service runs %q, %v", exe, err)
	}
	cmdline, err := os.ReadFile(proc + "/cmdline")
	b.check(err)
	if args := strings.Split(string(cmdline), "\x00"); !slices.Equal(args[1:], []string{"run", "--service", ""}) {
		b.Errorf("the service's arguments are %q", args)
	}
	// It is hardened as far as can be seen from here.
	state, err := os.ReadFile(proc + "/status")
	b.check(err)
	for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "Umask:\t0077\n"} {
		if !strings.Contains(string(state), want) {
			b.Errorf("the service has no %q", want)
		}
	}
	if out, err := b.try("systemd-analyze", "--user", "verify", b.unit); err != nil || out != "" {
		b.Error("systemd has something to say of the unit")
	}
}

func (b *box) again() {
	pid := b.property("MainPID")
	before := b.files()
	b.says("install", "nothing to do")
	b.says("start", "nothing to do")
	if b.property("MainPID") != pid {
		b.Error("the service was restarted")
	}
	if diff := cmp.Diff(before, b.files()); diff != "" {
		b.Error("files have changed (-before +after):\n", diff)
	}

	out, err := b.try("env", "PATH=/usr/bin:/bin", b.agent, "setup", "--yes")
	for _, want := range []string{"nothing to do: the service is installed", "test signal: folded after ", "all is set up"} {
		if err != nil || !strings.Contains(out, want) {
			b.Errorf("setup does not say %q", want)
		}
	}

	// A manager that does not answer.
	tools := b.TempDir()
	b.check(os.WriteFile(filepath.Join(tools, "systemctl"), []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700))
	if out, _ := b.try("env", "PATH="+tools+":"+os.Getenv("PATH"), b.agent, "status"); !strings.Contains(out, "no answer within") {
		b.Error("status does not say that the manager does not answer")
	}
}

// The service waits while another agent of this user runs, and says so.
func (b *box) anotherAgent() {
	b.says("stop", "stopped it")
	other := exec.Command(b.agent, "run")
	b.check(other.Start())
	defer other.Wait()
	defer other.Process.Signal(syscall.SIGTERM)
	agenttest.Until(b, "the other agent runs", func() bool { return b.status().PID == other.Process.Pid })
	b.says("start", "started it")
	agenttest.Until(b, "the service says that it waits", func() bool { return strings.Contains(b.property("StatusText"), "waiting") })
	b.check(other.Process.Signal(syscall.SIGTERM))
	agenttest.Until(b, "the service serves", func() bool { return b.status().PID == b.number("MainPID") })
}

// status is what 'agent status --json' says.
func (b *box) status() (r agenttest.Report) {
	b.Helper()
	out, _ := exec.Command(b.agent, "status", "--json").Output() // its exit status tells what it says
	b.check(json.Unmarshal(out, &r))
	return r
}

// state is what other commands are told of the service.
func (b *box) state() service.State {
	b.Helper()
	s, err := service.New()
	b.check(err)
	st, err := s.State(b.Context())
	b.check(err)
	return st
}

// One project is in the configuration, one is added, and one is found by the
// shell hook, while the service runs.
func (b *box) serve() {
	b.configure(fmt.Sprintf("cap = 0\nprojects = [%q]", b.projects[0]))
	b.run("systemctl", "--user", "reload", "spool-agent.service")
	b.run(b.agent, "add", b.projects[1])
	hook := filepath.Join(b.home, "test", "hook.sh")
	text, err := exec.Command(b.agent, "print", "hook").Output()
	b.check(err)
	b.check(os.WriteFile(hook, text, 0o600))
	cmd := exec.Command("sh", hook)
	cmd.Dir = b.projects[2]
	cmd.Stdin = strings.NewReader(`{"payload":"<three 0>"}`)
	b.check(cmd.Run())
	b.dropped[b.projects[2]] = []string{"three 0"}

	b.drop(20, b.projects...)
	b.folded(b.projects...)
	agenttest.Until(b, "systemd shows how things are", func() bool { return b.property("StatusText") == "serving" })
}

// systemd dates what it does; a clock of ours would measure this machine's load.
func (b *box) killed() {
	pid := b.number("MainPID")
	var killed unix.Timespec
	b.meanwhile(func() {
		b.check(unix.ClockGettime(unix.CLOCK_MONOTONIC, &killed))
		b.check(syscall.Kill(pid, syscall.SIGKILL))
		agenttest.Until(b, "the service is back", func() bool {
			return b.number("NRestarts") == 1 && b.property("ActiveState") == "active" && b.number("MainPID") != pid
		})
	})
	took := time.Duration(b.number("ActiveEnterTimestampMonotonic"))*time.Microsecond - time.Duration(killed.Nano())
	b.Logf("ready again %s after the kill", took)
	if took > 3*time.Second {
		b.Error("that is more than 3 s")
	}
	b.folded(b.projects...)
}

// An agent that does nothing is killed by the watchdog.
func (b *box) hung() {
	dropIn := filepath.Join(b.unit+".d", "test.conf")
	b.check(os.MkdirAll(filepath.Dir(dropIn), 0o700))
	b.check(os.WriteFile(dropIn, []byte("[Service]\nWatchdogSec=1\nTimeoutAbortSec=1\n"), 0o600))
	b.run("systemctl", "--user", "daemon-reload")
	b.says("restart", "restarted it")
	pid, restarts := b.number("MainPID"), b.number("NRestarts")
	b.meanwhile(func() {
		b.check(syscall.Kill(pid, syscall.SIGSTOP))
		agenttest.Until(b, "the service is back", func() bool {
			return b.number("NRestarts") > restarts && b.property("ActiveState") == "active" && b.number("MainPID") != pid
		})
	})
	b.folded(b.projects...)
	b.check(os.RemoveAll(b.unit + ".d"))
	b.run("systemctl", "--user", "daemon-reload")
	b.says("restart", "restarted it")
}

func (b *box) reload() {
	pid := b.number("MainPID")
	projects := fmt.Sprintf("projects = [%q]\n", b.projects[0])
	reload := func(config string) {
		b.configure(projects + config)
		b.run("systemctl", "--user", "reload", "spool-agent.service")
	}
	reload("cap = 100000")
	agenttest.Until(b, "the new configuration counts", func() bool { return b.status().Projects[0].Cap == 100000 })
	reload("cup = 1")
	agenttest.Until(b, "the service reports the problem", func() bool { return strings.Contains(b.status().Problem, "cup") })
	agenttest.Until(b, "systemd shows it", func() bool { return strings.Contains(b.property("StatusText"), "cup") })
	if out, err := b.try(b.agent, "status"); err == nil || !strings.Contains(out, "cup") {
		b.Error("status does not show it")
	}
	if got := b.status().Projects[0].Cap; got != 100000 {
		b.Errorf("after a bad configuration, the cap is %d", got)
	}
	reload("cap = 0")
	agenttest.Until(b, "the first configuration counts again", func() bool {
		r := b.status()
		return r.Projects[0].Cap == 0 && r.Problem == ""
	})
	b.drop(1, b.projects...)
	b.folded(b.projects...)
	if b.number("MainPID") != pid {
		b.Error("the service was restarted")
	}
}

// The program is replaced under the running service.
func (b *box) upgrade() {
	runs := func(build string) {
		b.Helper()
		exe, err := os.ReadFile(fmt.Sprintf("/proc/%d/exe", b.number("MainPID")))
		b.check(err)
		want, err := os.ReadFile(filepath.Join(b.home, "test", build))
		b.check(err)
		if !bytes.Equal(exe, want) {
			b.Errorf("the service does not run %s", build)
		}
	}
	b.meanwhile(func() {
		b.put("agent-new")
		b.says("restart", "restarted it")
		runs("agent-old")
		b.says("install", "copied this program to "+b.program, "restarted it: active (running)")
		runs("agent-new")
		// What go run builds is gone soon.
		b.run("sh", "-c", `cp "$0" "$1" && "$1" install && rm "$1"`, filepath.Join(b.home, "test", "agent-old"), filepath.Join(b.TempDir(), "agent"))
		runs("agent-old")
		b.put("agent-old")
		b.says("install", "nothing to do")
	})
	b.folded(b.projects...)
}

func (b *box) nothingLost() {
	for _, p := range b.status().Projects {
		l := p.Ledger
		if want := len(b.dropped[p.Path]); l.Folded != want || l.Rejected+l.Evicted+l.Returned != 0 || l.External != 0 {
			b.Errorf("%s: %d drops, and the ledger says %+v", p.Path, want, l)
		}
	}
	for _, project := range b.projects {
		got, want := b.names("drain", project), b.dropped[project]
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("%s: the signals (-dropped +drained):\n%s", project, diff)
		}
		b.Logf("%s: %d drops", project, len(want))
		b.dropped[project] = nil
	}
}

func (b *box) stopAndStart() {
	b.says("stop", "stopped it", "next login")
	b.says("stop", "nothing to do")
	if got := b.property("ActiveState"); got != "inactive" {
		b.Errorf("is %s", got)
	}
	b.says("start", "started it")
	b.says("restart", "restarted it")
	b.says("stop")
	b.says("restart", "started it")
}

// An agent that cannot start: the error says where the reason is.
func (b *box) broken() {
	b.become([]byte("#!/bin/sh\nexit 7\n"))
	for _, verb := range []string{"restart", "start"} {
		out, err := b.try(b.agent, verb)
		if exitStatus(err) != exitFailed || !strings.Contains(out, "exit-code") || !strings.Contains(out, "journalctl --user -u spool-agent") {
			b.Errorf("%s does not say what is wrong", verb)
		}
	}
	b.says("install", "copied this program", "started it")
}

func (b *box) uninstall(before []string) {
	pid := b.number("MainPID")
	b.check(os.Mkdir(filepath.Join(b.home, ".claude"), 0o700))
	b.run(b.agent, "hooks", "install", "claude")
	b.says("uninstall", "stopped it", "disabled it", "removed "+b.unit, "removed "+b.program, "agent hooks uninstall claude")
	b.run(b.agent, "hooks", "uninstall", "claude")
	b.check(os.RemoveAll(filepath.Join(b.home, ".claude")))
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		b.Errorf("the process is still there: %v", err)
	}
	if got := b.property("LoadState"); got != "not-found" {
		b.Errorf("systemd still knows the unit: %s", got)
	}
	if diff := cmp.Diff(before, b.files()); diff != "" {
		b.Error("files are left (-before +after):\n", diff)
	}
	b.says("uninstall", "nothing to do")
}
