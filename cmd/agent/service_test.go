//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"spoolagent/internal/agenttest"
)

// Where there is no service manager, the line for cron works as it is printed:
// cron looks for programs in system directories only, and takes a percent sign
// for the end of the command.
func TestCronLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "50% off")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(dir, "agent")
	if err := agenttest.Build(agent, "./cmd/agent"); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=" + dir, "PATH=/usr/bin:/bin", "LOGNAME=jo", "SHELL=/bin/sh"}
	cmd := exec.Command(agent, "start")
	cmd.Env = append(env, "XDG_RUNTIME_DIR="+dir) // not the manager of whoever runs the tests
	out, err := cmd.CombinedOutput()
	if exitStatus(err) != exitFailed {
		t.Fatalf("start without a manager: %v\n%s", err, out)
	}
	_, line, found := strings.Cut(strings.TrimSpace(string(out)), "@reboot ")
	if !found {
		t.Fatalf("no line for cron: %s", out)
	}
	command, input, ends := strings.Cut(strings.ReplaceAll(line, `\%`, "\x00"), "%")
	if ends {
		t.Fatalf("to cron, the command ends before %q", input)
	}
	cron := exec.Command("/bin/sh", "-c", "exec "+strings.ReplaceAll(command, "\x00", "%"))
	cron.Dir = dir
	cron.Env = env
	if err := cron.Start(); err != nil {
		t.Fatal(err)
	}
	defer cron.Wait()
	defer cron.Process.Signal(syscall.SIGTERM)
	agenttest.Until(t, "the agent runs that cron started", func() bool {
		status := exec.Command(agent, "status", "--json")
		status.Env = env
		out, _ := status.Output() // its exit status tells what it says
		return strings.Contains(string(out), `"running":true`) || strings.Contains(string(out), `"running": true`)
	})
}
