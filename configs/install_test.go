//go:build unix

package configs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// What "make install" installs replaces our own and nothing else, also where a
// name is a link.
func TestInstall(t *testing.T) {
	from := t.TempDir()
	for name, program := range map[string]string{"spool-agent": agenttest.Binary(t), "spool-hook": agenttest.Hook(t)} {
		write(t, filepath.Join(from, name), agenttest.Read(t, program))
	}
	eachShell(t, func(t *testing.T, sh []string) {
		home := t.TempDir()
		dir := filepath.Join(home, ".local", "bin")
		cursor := filepath.Join(home, ".local", "share", "cursor-agent", "versions", "1", "cursor-agent")
		path := "/usr/bin:/bin"
		do := func(want, verb string) {
			t.Helper()
			cmd := exec.Command(sh[0], append(append(sh[1:len(sh):len(sh)], "install.sh"), verb, from, dir)...)
			cmd.Env = append(os.Environ(), "PATH="+path)
			out, err := cmd.CombinedOutput()
			if failed := strings.Contains(want, "nothing was installed"); (err != nil) != failed || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v, and not %q:\n%s", verb, err, want, out)
			}
		}
		holds := func(want ...string) {
			t.Helper()
			if got := agenttest.List(t, dir); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%s holds %q, want %q", dir, got, want)
			}
		}
		link := func(target string) {
			t.Helper()
			if err := os.Symlink(target, filepath.Join(dir, "agent")); err != nil {
				t.Fatal(err)
			}
		}
		remove := func(name string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}

		do("agent, the short name", "install")
		do("your PATH lacks "+dir, "install")
		holds("agent", "spool-agent", "spool-hook")
		if got := agenttest.Read(t, dir, "agent"); got != agenttest.Read(t, from, "spool-agent") {
			t.Error("the short name is another program")
		}
		// A program that runs goes on: its file is replaced, and not written to.
		before, err := os.Stat(filepath.Join(dir, "spool-agent"))
		if err != nil {
			t.Fatal(err)
		}
		do("as before", "install")
		if after, err := os.Stat(filepath.Join(dir, "spool-agent")); err != nil || os.SameFile(before, after) || after.Mode().Perm() != 0o755 {
			t.Errorf("the program was written to, or cannot be started: %v, %v", after, err)
		}
		do("removed "+dir+"/agent", "uninstall")
		holds()

		// An earlier version had only the short name.
		write(t, filepath.Join(dir, "agent"), agenttest.Read(t, from, "spool-agent"))
		do("agent, the short name", "install")
		if target, err := os.Readlink(filepath.Join(dir, "agent")); err != nil || target != "spool-agent" {
			t.Errorf("the short name is %q, %v", target, err)
		}
		do("removed", "uninstall")

		// Another program's command, in another directory of PATH. Our own is none.
		elsewhere := filepath.Join(home, "bin")
		agenttest.Mkdir(t, elsewhere)
		write(t, filepath.Join(elsewhere, "agent"), "#!/bin/sh\n")
		if err := os.Chmod(filepath.Join(elsewhere, "agent"), 0o755); err != nil {
			t.Fatal(err)
		}
		path = elsewhere + ":/usr/bin:/bin"
		do(elsewhere+"/agent is another program's", "install")
		holds("spool-agent", "spool-hook")
		write(t, filepath.Join(elsewhere, "agent"), agenttest.Read(t, from, "spool-agent"))
		do("agent, the short name", "install")
		do("removed", "uninstall")
		path = "/usr/bin:/bin"

		// Cursor's command.
		agenttest.Mkdir(t, filepath.Dir(cursor))
		write(t, cursor, "#!/bin/sh\necho cursor\n")
		for _, target := range []string{cursor, "../share/cursor-agent/gone"} {
			link(target)
			do(dir+"/agent is another program's", "install")
			do("left "+dir+"/agent", "uninstall")
			holds("agent")
			if got, err := os.Readlink(filepath.Join(dir, "agent")); err != nil || got != target {
				t.Errorf("the link is %q, %v", got, err)
			}
			remove("agent")
		}
		write(t, filepath.Join(dir, "agent"), "somebody's")
		do(dir+"/agent is another program's", "install")
		do("left", "uninstall")
		if got := agenttest.Read(t, dir, "agent"); got != "somebody's" {
			t.Errorf("somebody's program is %q", got)
		}

		// What is not ours under our own names: a link would lead elsewhere.
		for _, name := range []string{"spool-agent", "spool-hook"} {
			if err := os.Symlink(cursor, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			do(name+" is not of this project: nothing was installed", "install")
			do("left", "uninstall")
			holds("agent", name)
			remove(name)
		}
		if got := agenttest.Read(t, cursor); got != "#!/bin/sh\necho cursor\n" {
			t.Errorf("Cursor's program is %q", got)
		}
	})
}
