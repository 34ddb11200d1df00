//go:build unix

package configs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"spoolagent/internal/agenttest"
)

const signals = `{"recorded_at":1,"tool_name":"Bash","cwd":"/r","payload":"a\\b %s"}
{"recorded_at":2,"cwd":"/r","payload":"ü"}
`

var requestName = regexp.MustCompile(`^([A-Za-z0-9_-]{20,64})\.drain$`)

// answered runs a consumer and plays the agent: it waits for the request in
// dir's control directory, writes the reply ID+suffix, and removes the request.
func answered(t *testing.T, cmd *exec.Cmd, dir, suffix, text string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	agenttest.Until(t, "the request", func() bool { return requests(t, dir) != nil })
	id := requests(t, dir)[0]
	control := filepath.Join(dir, ".spool", "control")
	write(t, filepath.Join(control, ".reply"), text)
	if err := os.Rename(filepath.Join(control, ".reply"), filepath.Join(control, id+suffix)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(control, id+".drain")); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// requests returns the IDs of the requests that wait in dir's control directory.
func requests(t *testing.T, dir string) (ids []string) {
	for _, name := range agenttest.List(t, dir, ".spool", "control") {
		if m := requestName.FindStringSubmatch(name); m != nil {
			ids = append(ids, m[1])
		}
	}
	return ids
}

// consume is the command that runs a consumer, which is the text of a script,
// in a fresh project.
func consume(t *testing.T, text string, sh []string, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	mkdir(t, dir, ".spool")
	return command(dir, slices.Concat(sh, []string{script(t, text)}, args))
}

// shimmed is the consumer with a function in the place of a system's command: a
// busybox may have its own commands before those in PATH, but functions go first.
func shimmed(name, body string) string {
	return strings.Replace(Consumer(), "\nPATH=", "\n"+name+"() {\n"+body+"}\nPATH=", 1)
}

func wantControl(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	for _, name := range agenttest.List(t, dir, ".spool", "control") {
		got = append(got, filepath.Ext(name))
	}
	if !slices.Equal(got, want) {
		t.Errorf("control has %q, want %q", got, want)
	}
	if left := agenttest.List(t, dir, ".spool", "tmp"); left != nil {
		t.Errorf("left in tmp: %q", left)
	}
}

func TestConsumerAnswered(t *testing.T) {
	eachShell(t, func(t *testing.T, sh []string) {
		for _, text := range []string{signals, "", strings.Repeat(signals, 5000)} {
			cmd := consume(t, Consumer(), sh)
			r := answered(t, cmd, cmd.Dir, ".signals", text)
			if r != (result{0, text, ""}) {
				t.Errorf("status %d, stdout %.200q, stderr %q", r.status, r.stdout, r.stderr)
			}
			wantControl(t, cmd.Dir)
		}
	})
}

func TestConsumerError(t *testing.T) {
	eachShell(t, func(t *testing.T, sh []string) {
		cmd := consume(t, Consumer(), sh)
		r := answered(t, cmd, cmd.Dir, ".error", "the queue cannot be read\n")
		if r != (result{1, "", "the queue cannot be read\n"}) {
			t.Errorf("%+v", r)
		}
		wantControl(t, cmd.Dir)
	})
}

func TestConsumerTimeout(t *testing.T) {
	eachShell(t, func(t *testing.T, sh []string) {
		for name, cmd := range map[string]*exec.Cmd{
			"at once":     consume(t, Consumer(), sh, "-t", "0"),
			"one second":  consume(t, Consumer(), sh, "-t1"),
			"environment": consume(t, Consumer(), sh),
		} {
			if name == "environment" {
				cmd.Env = append(cmd.Env, "SPOOL_TIMEOUT=0")
			}
			r := run(t, cmd)
			if r.status != 4 || r.stdout != "" || !strings.Contains(r.stderr, "no answer within") {
				t.Errorf("%s: %+v", name, r)
			}
			wantControl(t, cmd.Dir)
		}
	})
}

// A reply that comes while the request is being withdrawn is taken.
func TestConsumerWithdrawalRace(t *testing.T) {
	eachShell(t, func(t *testing.T, sh []string) {
		cmd := consume(t, shimmed("rm", `for last; do :; done
case $last in *.drain) echo late >"${last%.drain}.signals" ;; esac
command rm "$@"
`), sh, "-t", "0")
		if r := run(t, cmd); r != (result{0, "late\n", ""}) {
			t.Errorf("%+v", r)
		}
		wantControl(t, cmd.Dir)
	})
}

// Where sleep takes whole seconds only, it waits in seconds.
func TestConsumerWholeSeconds(t *testing.T) {
	eachShell(t, func(t *testing.T, sh []string) {
		log := filepath.Join(t.TempDir(), "log")
		cmd := consume(t, shimmed("sleep", `echo "$1" >>'`+log+`'
case $1 in *.*) echo "sleep: bad number" >&2; return 1 ;; esac
`), sh, "-t", "3")
		if r := run(t, cmd); r.status != 4 || strings.Contains(r.stderr, "bad number") {
			t.Errorf("%+v", r)
		}
		if got, want := agenttest.Read(t, log), "0.01\n1\n0.05\n1\n0.05\n1\n"; got != want {
			t.Errorf("slept %q, want %q", got, want)
		}
	})
}

// What stdout has not taken stays in the reply.
func TestConsumerOutputFails(t *testing.T) {
	eachShell(t, func(t *testing.T, sh []string) {
		text := strings.Repeat(signals, 5000)
		check := func(name string, cmd *exec.Cmd) {
			t.Helper()
			r := answered(t, cmd, cmd.Dir, ".signals", text)
			if r.status != 1 || !strings.Contains(r.stderr, "return to the queue") {
				t.Errorf("%s: status %d, stderr %q", name, r.status, r.stderr)
			}
			wantControl(t, cmd.Dir, ".signals")
			if got := agenttest.Read(t, cmd.Dir, ".spool", "control", agenttest.List(t, cmd.Dir, ".spool", "control")[0]); got != text {
				t.Errorf("%s: the reply has changed", name)
			}
		}

		cmd := consume(t, Consumer(), sh)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd.Stdout = w
		check("closed pipe", cmd)
		w.Close()

		cmd = consume(t, Consumer(), sh)
		cmd.Args = append([]string{"sh", "-c", `exec "$@" >&-`, "sh"}, cmd.Args...)
		cmd.Path, cmd.Err = "/bin/sh", nil
		check("no stdout", cmd)

		if runtime.GOOS != "linux" {
			return // there is no such device
		}
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		cmd = consume(t, Consumer(), sh)
		cmd.Stdout = full
		check("full disk", cmd)
	})
}

func TestConsumerInterrupted(t *testing.T) {
	eachShell(t, func(t *testing.T, sh []string) {
		cmd := consume(t, Consumer(), sh, "-t", "999")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		agenttest.Until(t, "the request", func() bool { return requests(t, cmd.Dir) != nil })
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if status := cmd.ProcessState.ExitCode(); status != 1 {
			t.Errorf("status %d", status)
		}
		wantControl(t, cmd.Dir)
	})
}

func TestConsumerProject(t *testing.T) {
	path := script(t, Consumer())
	eachShell(t, func(t *testing.T, sh []string) {
		sh = append(sh, path)
		for _, name := range names {
			top := t.TempDir()
			dir := filepath.Join(top, name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Logf("%q cannot be a name here: %v", name, err)
				continue
			}
			mkdir(t, dir, ".spool")
			sub := mkdir(t, dir, "sub")
			for _, cmd := range []*exec.Cmd{
				command(dir, sh),
				command(sub, sh),
				command("/", append(sh, "--", dir)),
				command(top, append(sh, "-t5", "--", name), "CLAUDE_PROJECT_DIR=/nonexistent"),
				command(top, sh, "CLAUDE_PROJECT_DIR="+name),
			} {
				r := answered(t, cmd, dir, ".signals", signals)
				if r != (result{0, signals, ""}) {
					t.Fatalf("%q in %q: %+v", cmd.Args, cmd.Dir, r)
				}
			}
		}
	})
}

func TestConsumerUsage(t *testing.T) {
	eachShell(t, func(t *testing.T, sh []string) {
		for _, args := range [][]string{
			{"-x"}, {"-t"}, {"-t", ""}, {"-t", "-1"}, {"-t", "1.5"}, {"-t", "010"}, {"-t", "10000"}, {"a", "b"},
		} {
			cmd := consume(t, Consumer(), sh, args...)
			r := run(t, cmd)
			if r != (result{2, "", "consume.sh: usage: consume.sh [-t SECONDS] [DIR]\n"}) {
				t.Errorf("%q: %+v", args, r)
			}
			wantControl(t, cmd.Dir)
		}
	})
}

func TestConsumerObstacles(t *testing.T) {
	path := script(t, Consumer())
	eachShell(t, func(t *testing.T, sh []string) {
		for _, linked := range []string{".spool", ".spool/tmp", ".spool/control"} {
			dir, outside := t.TempDir(), t.TempDir()
			mkdir(t, dir, filepath.Dir(linked))
			if err := os.Symlink(outside, filepath.Join(dir, linked)); err != nil {
				t.Fatal(err)
			}
			r := run(t, command(dir, append(sh, path, "-t0", ".")))
			if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, " of yours") {
				t.Errorf("%s is a link: %+v", linked, r)
			}
			if got := agenttest.List(t, outside); got != nil {
				t.Errorf("%s is a link: outside has %q", linked, got)
			}
		}
		dir := t.TempDir()
		if r := run(t, command(dir, append(sh, path))); r.status != 1 || !strings.Contains(r.stderr, "no spool of yours") {
			t.Errorf("no spool: %+v", r)
		}
		if got := agenttest.List(t, dir); got != nil {
			t.Errorf("made %q", got)
		}
	})
}
