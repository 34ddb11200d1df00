//go:build root

package doctor

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"spoolagent/agent/watch"
	"spoolagent/internal/agenttest"
)

// A project on a file system that tells of no events is told as such, and one
// that does not answer holds up no other.
func TestRootFileSystemThatHangs(t *testing.T) {
	t.Parallel() // it waits long
	behind, at := filepath.Dir(sound(t)), agenttest.Dir(t)
	cmd := exec.Command("bindfs", "-f", "--no-allow-other", behind, at)
	cmd.Stderr = os.Stderr
	agenttest.Must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill() // what still waits for it gets an error
		cmd.Wait()
		syscall.Unmount(at, syscall.MNT_DETACH)
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	agenttest.Must(t, await(ctx, time.Minute, func() (bool, error) { return watch.Foreign(at) == "FUSE", nil }))
	remote, local := filepath.Join(at, "001"), sound(t)
	f := facts(t, remote, local)
	if c := named(Examine(ctx, f), "spool.filesystem"); c[0].Status != Warning || !strings.Contains(c[0].Detail, "FUSE") {
		t.Errorf("%+v", c)
	}
	agenttest.Must(t, cmd.Process.Signal(syscall.SIGSTOP))
	checks := Examine(ctx, f)
	if c := named(checks, "spool.answer"); c[0].Status != Failure || len(c) != 1 || c[0].Project != remote {
		t.Errorf("%+v", c)
	}
	if c := named(checks, "spool.filesystem"); c[0].Status != OK {
		t.Errorf("nobody knows, but: %+v", c)
	}
}

func TestRootWhatIsWrongWithAProject(t *testing.T) { TestWhatIsWrongWithAProject(t) }
