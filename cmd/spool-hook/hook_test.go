//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// What the hook has in common with hook.sh is tested beside that.

// TestDependencies keeps the hook small: a tool waits while it starts.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(strings.Fields(string(out)), func(path string) bool {
		return strings.HasPrefix(path, "golang.org/x/sys/")
	})
	want := []string{"spoolagent/internal/quote", "spoolagent/spoolfiles", "spoolagent/agent/registry", "spoolagent/cmd/spool-hook"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("depends on %q, want %q", got, want)
	}
	out, err = exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if path == "net" || strings.HasPrefix(path, "encoding/json") || strings.HasPrefix(path, "crypto") {
			t.Errorf("depends on %s", path)
		}
	}
}

// start starts the hook in a new project, with a pipe as its standard input.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, stdin io.WriteCloser, project string) {
	t.Helper()
	project = t.TempDir()
	cmd, stdin = startIn(t, project, args...)
	return cmd, stdin, project
}

func startIn(t *testing.T, project string, args ...string) (cmd *exec.Cmd, stdin io.WriteCloser) {
	t.Helper()
	cmd = exec.Command(agenttest.Hook(t), args...)
	cmd.Dir = project
	cmd.Env = []string{"HOME=" + t.TempDir()}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() {
		w.Close()
		if out.Len() > 0 {
			t.Errorf("printed %q", out.String())
		}
	})
	return cmd, w
}

// drop returns the name and the content of the only drop.
func drop(t *testing.T, project string) (name, text string) {
	t.Helper()
	names := agenttest.List(t, project, ".spool", "incoming")
	if len(names) != 1 {
		t.Fatalf("drops: %q", names)
	}
	if left := agenttest.List(t, project, ".spool", "tmp"); left != nil {
		t.Errorf("left in tmp: %q", left)
	}
	return names[0], agenttest.Read(t, project, ".spool", "incoming", names[0])
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Errorf("the tool could not write: %v", err)
	}
}

func wait(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Wait(); err != nil {
		t.Errorf("exit status: %v", err)
	}
}

// A tool may leave the pipe open. An event is complete with its last bracket, or
// once nothing more comes. What is behind it in the pipe is none of it.
func TestInputLeftOpen(t *testing.T) {
	rest := strings.Repeat("y", 60_000)
	for text, want := range map[string]string{
		"{\"a\":\"}\"}\n":          "{\"a\":\"}\"}\n",
		" [1]{}" + rest:            " [1]",
		`{"a":"half`:               `{"a":"half`,
		"no event\n" + rest + "{}": "no event\n" + rest + "{}",
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel() // it waits long
			cmd, stdin, project := start(t)
			write(t, stdin, text)
			wait(t, cmd)
			if _, got := drop(t, project); got != want {
				t.Errorf("of %.50q %.50q is stored", text, got)
			}
		})
	}
	t.Run("", func(t *testing.T) {
		t.Parallel()
		cmd, _, project := start(t)
		wait(t, cmd)
		if got := agenttest.List(t, project, ".spool", "incoming"); got != nil {
			t.Errorf("of nothing there are drops %q", got)
		}
	})
}

func TestSource(t *testing.T) {
	for _, test := range []struct {
		args   []string
		ending string
	}{
		{nil, ".json"},
		{[]string{"claude"}, ".claude.json"},
		{[]string{"claude", "x"}, ".claude.json"},
		{[]string{"No/Tool"}, ".json"},
		{[]string{"codex", `{"type":"agent-turn-complete"}`}, ".codex.json"},
	} {
		cmd, stdin, project := start(t, test.args...)
		if len(test.args) < 2 || test.args[1] == "x" {
			write(t, stdin, "{}")
		}
		wait(t, cmd)
		if name, _ := drop(t, project); strings.TrimLeft(name, "0123456789abcdefghijklmnopqrstuvwxyz-") != test.ending {
			t.Errorf("%q: the drop is called %s", test.args, name)
		}
	}
}

// The largest drop goes through in pieces. Where it cannot be stored, it is read
// all the same.
func TestLargeEvent(t *testing.T) {
	event := `{"x":"` + strings.Repeat(`\"`, 32<<20-10) + `"}`
	last := len(event) - 1
	for _, off := range []bool{false, true} {
		project := t.TempDir()
		if off {
			agenttest.Mkdir(t, filepath.Join(project, ".spool"))
			agenttest.Write(t, filepath.Join(project, ".spool", "off"), "")
		}
		cmd, stdin := startIn(t, project, "claude")
		write(t, stdin, event[:last])
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err == nil { // Linux
			_, peak, _ := strings.Cut(string(status), "VmHWM:")
			if kib, err := strconv.Atoi(strings.Fields(peak)[0]); err != nil || kib > 16<<10 {
				t.Errorf("it took %d KiB (%v)", kib, err)
			}
		}
		write(t, stdin, event[last:])
		wait(t, cmd)
		if !off {
			if _, got := drop(t, project); got != event {
				t.Errorf("stored %d bytes of %d", len(got), len(event))
			}
		} else if got := agenttest.List(t, project, ".spool"); !slices.Equal(got, []string{"off"}) {
			t.Errorf("the spool has %q", got)
		}
	}
}

// A working directory that is gone is no project.
func TestDeletedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `rmdir "$PWD" && exec "$0"`, agenttest.Hook(t))
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader("{}")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v, output %q", err, out)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("made the directory: %v", err)
	}
}

// The second drop takes a shorter way, unless something has changed since the
// first.
func TestSecondDrop(t *testing.T) {
	for name, test := range map[string]struct {
		change func(spool, outside string) error
		want   int
	}{
		"nothing": {func(string, string) error { return nil }, 2},
		"off":     {func(spool, _ string) error { return os.WriteFile(filepath.Join(spool, "off"), nil, 0o600) }, 1},
		"off is a link": {func(spool, _ string) error {
			return os.Symlink("none", filepath.Join(spool, "off"))
		}, 1},
		"tmp is open to others": {func(spool, _ string) error { return os.Chmod(filepath.Join(spool, "tmp"), 0o777) }, 2},
		"tmp is gone":           {func(spool, _ string) error { return os.Remove(filepath.Join(spool, "tmp")) }, 2},
		"tmp is a link": {func(spool, outside string) error {
			return errors.Join(os.Remove(filepath.Join(spool, "tmp")), os.Symlink(outside, filepath.Join(spool, "tmp")))
		}, 1},
		"incoming is a link": {func(spool, outside string) error {
			incoming := filepath.Join(spool, "incoming")
			return errors.Join(os.Rename(incoming, incoming+"-1"), os.Symlink(outside, incoming))
		}, 0},
		"the registration is empty": {func(spool, _ string) error {
			return os.Truncate(filepath.Join(spool, ".registered"), 0)
		}, 2},
		"the mark is gone": {func(spool, _ string) error { return os.Remove(filepath.Join(spool, ".registered")) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			project, home, outside := t.TempDir(), t.TempDir(), t.TempDir()
			spool := filepath.Join(project, ".spool")
			drop := func() {
				cmd := exec.Command("/bin/sh", "-c", `umask 777; exec "$0"`, agenttest.Hook(t))
				cmd.Dir, cmd.Env, cmd.Stdin = project, []string{"HOME=" + home}, strings.NewReader("{}")
				if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%v, output %q", err, out)
				}
			}
			drop()
			if err := test.change(spool, outside); err != nil {
				t.Fatal(err)
			}
			drop()
			if got := agenttest.List(t, outside); got != nil {
				t.Errorf("outside has %q", got)
			}
			if got := agenttest.List(t, spool, "incoming"); len(got) != test.want {
				t.Errorf("drops: %q, want %d", got, test.want)
			}
			if test.want < 2 {
				return
			}
			if got := agenttest.List(t, spool, "tmp"); got != nil {
				t.Errorf("left in tmp: %q", got)
			}
			info, err := os.Lstat(filepath.Join(spool, "tmp"))
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("tmp is %v, %v", info.Mode(), err)
			}
			for _, name := range agenttest.List(t, spool, "incoming") {
				info, err := os.Lstat(filepath.Join(spool, "incoming", name))
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s is %v, %v", name, info.Mode(), err)
				}
			}
			text, err := os.ReadFile(filepath.Join(spool, ".registered"))
			if real, rerr := filepath.EvalSymlinks(project); err != nil || rerr != nil || string(text) != real+"\n" {
				t.Errorf("registered: %q, %v", text, err)
			}
		})
	}
}
