//go:build linux && powercut

package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// programVariable names the agent to be tested; default: this module's.
	programVariable = "SPOOL_AGENT"
	// formVariable is "short" (the default) or "full".
	formVariable = "SPOOL_POWERCUT"
	// keepVariable names a directory for the disks of cuts that show a fault.
	keepVariable = "SPOOL_POWERCUT_KEEP"
	// insideVariable is set within the namespaces.
	insideVariable = "SPOOL_POWERCUT_INSIDE"
)

// room is where all files of the tests are: in memory, and seen by nobody else.
const room = "/dev/shm"

// The programs that the tests run; TestMain sets them.
var agentProgram, recorderProgram, hookScript string

func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) == "" {
		enter()
	}
	// Mounts and their ends propagate to the namespaces of the agents, else each
	// agent would keep the disks of other tests mounted.
	check(unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
	check(unix.Mount("powercut", room, "tmpfs", 0, "mode=0700"))
	check(os.Setenv("TMPDIR", room))
	agentProgram = os.Getenv(programVariable)
	if agentProgram == "" {
		agentProgram = build("../..", "./cmd/agent", "agent")
	}
	recorderProgram = build("recorder", ".", "recorder")
	hookScript = filepath.Join(room, "hook.sh")
	check(os.WriteFile(hookScript, must(exec.Command(agentProgram, "print", "hook").Output()), 0o600))
	code := m.Run()
	results.print()
	os.Exit(code)
}

// enter runs this program again in a mount and a process namespace of its own.
// When it ends, in whatever way, the kernel ends all its processes and then
// unmounts what they have mounted.
func enter() {
	unshare := must(exec.LookPath("unshare"))
	args := []string{unshare, "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"}
	args = append(append(args, "--", must(os.Executable())), os.Args[1:]...)
	check(syscall.Exec(unshare, args, append(os.Environ(), insideVariable+"=1")))
}

func build(dir, pkg, name string) string {
	to := filepath.Join(room, name)
	cmd := exec.Command("go", "build", "-o", to, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	run(cmd)
	return to
}

func full() bool { return os.Getenv(formVariable) != "short" }

// failure is what check and must panic with: an error that makes it useless to
// go on. attempt returns it.
type failure struct{ error }

func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func attempt(f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			fail, ok := v.(failure)
			if !ok {
				panic(v)
			}
			err = fail.error
		}
	}()
	f()
	return nil
}

// run runs a command, and returns what it prints to standard output.
func run(cmd *exec.Cmd) []byte {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%v: %w: %s", cmd.Args, err, exit.Stderr)
	}
	check(err)
	return out
}

// poll calls done until it reports true.
func poll(patience time.Duration, what string, done func() bool) error {
	for end := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s did not come within %v", what, patience)
		}
	}
	return nil
}
