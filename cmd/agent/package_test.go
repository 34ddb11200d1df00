//go:build linux && systemd

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spoolagent/internal/agenttest"
)

// TestPackage proves the Debian package that "make release" has built: it is
// installed, used by an ordinary user, upgraded under the running service, and
// removed, and nothing is left.
func TestPackage(t *testing.T) {
	if os.Getenv("INSIDE") == "" {
		packages, err := filepath.Glob("../../dist/*_" + runtime.GOARCH + ".deb")
		if err != nil || len(packages) != 1 {
			t.Fatalf("'make release' makes one package for this machine, and there are %q, %v", packages, err)
		}
		outside(t, packages...)
		return
	}
	b := newBox(t)
	b.agent, b.program = "/usr/bin/spool-agent", "/usr/bin/spool-agent"
	b.check(os.Mkdir(filepath.Join(b.home, ".local"), 0o700)) // the state, which stays, is in there
	before := b.files()
	for _, file := range []string{
		"bin/spool-agent", "bin/spool-hook", "lib/systemd/user/spool-agent.service",
		"share/bash-completion/completions/spool-agent", "share/zsh/vendor-completions/_spool-agent", "share/fish/vendor_completions.d/spool-agent.fish",
		"share/man/man1/spool-agent.1.gz", "share/man/man1/spool-agent-hooks-install.1.gz", "share/doc/spool-agent/README.md",
	} {
		if fi, err := os.Stat("/usr/" + file); err != nil || fi.Size() == 0 {
			t.Errorf("the package lacks %s: %v", file, err)
		}
	}
	if out, err := b.try("systemd-analyze", "--user", "verify", "/usr/lib/systemd/user/spool-agent.service"); err != nil || out != "" {
		t.Error("systemd has something to say of the unit")
	}

	b.run("systemctl", "--user", "enable", "--now", "spool-agent")
	if got := b.state(); !got.Installed || !got.Enabled || !got.Running || got.Binary != b.program {
		t.Errorf("the service is %+v", got)
	}
	b.says("status", "service:", "running")
	doctor, _ := b.try(b.agent, "doctor") // hooks may be missing, for example
	for _, wrong := range []string{"program", "agent.version"} {
		if strings.Contains(doctor, wrong) {
			t.Errorf("doctor finds something wrong with the package: %s", wrong)
		}
	}

	// A tool's hook, run as the tool would run it.
	b.check(os.Mkdir(filepath.Join(b.home, ".claude"), 0o700))
	b.run(b.agent, "hooks", "install", "claude")
	settings, err := os.ReadFile(filepath.Join(b.home, ".claude", "settings.json"))
	if err != nil || !strings.Contains(string(settings), "exec /usr/bin/spool-hook claude") {
		t.Errorf("the hooks do not run the package's program: %s, %v", settings, err)
	}
	hook := exec.Command("/usr/bin/spool-hook", "claude")
	hook.Dir = b.projects[0]
	hook.Stdin = strings.NewReader(`{"payload":"<one 0>"}`)
	b.check(hook.Run())
	b.dropped[b.projects[0]] = []string{"one 0"}
	b.folded(b.projects[0])
	b.run(b.agent, append([]string{"add"}, b.projects...)...)

	exe := func() string {
		exe, err := os.Readlink("/proc/" + b.property("MainPID") + "/exe")
		b.check(err)
		return exe
	}
	b.meanwhile(func() {
		upgrade := filepath.Join(b.home, "test", "upgrade")
		b.check(os.WriteFile(upgrade, nil, 0o600))
		agenttest.Until(b, "the package is upgraded", func() bool { _, err := os.Stat(upgrade); return os.IsNotExist(err) })
		if got := exe(); got != b.program+" (deleted)" {
			t.Errorf("before the restart, the service runs %s", got)
		}
		b.says("restart", "restarted it")
		if got := exe(); got != b.program {
			t.Errorf("after the restart, the service runs %s", got)
		}
	})
	b.folded(b.projects...)
	b.nothingLost()

	b.run(b.agent, "hooks", "uninstall", "claude")
	b.check(os.RemoveAll(filepath.Join(b.home, ".claude")))
	b.says("uninstall", "stopped it", "disabled it")
	if diff := cmp.Diff(before, b.files()); diff != "" {
		t.Error("files are left (-before +after):\n", diff)
	}
}
