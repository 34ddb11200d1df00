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

// A file system that does not answer is told, and holds up no other.
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
	agenttest.Must(t, cmd.Process.Signal(syscall.SIGSTOP))
	f := facts(t, remote, local)
	if c := named(Examine(ctx, f), "project.served"); c[0].Status != Failure || len(c) != 1 || c[0].Project != remote || !strings.Contains(c[0].Detail, "not answered") {
		t.Errorf("%+v", c)
	}
}

func TestRootWhatIsWrongWithAProject(t *testing.T) { TestWhatIsWrongWithAProject(t) }
