//go:build unix

package configs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"spoolagent/internal/agenttest"
)

const event = `{"hook_event_name":"Stop","cwd":"/r","x":"\u00fc \\ %s $HOME"}` + "\n"

// runHook runs the hook with a standard input and checks what always holds:
// status 0, silence, and an input that was read to its end.
func runHook(t *testing.T, cmd *exec.Cmd, input string) {
	t.Helper()
	fed := feed(t, cmd, input)
	r := run(t, cmd)
	if err := fed(); err != nil {
		t.Errorf("the tool could not write its event: %v", err)
	}
	if r.status != 0 || r.stdout != "" || r.stderr != "" {
		t.Errorf("status %d, stdout %q, stderr %q", r.status, r.stdout, r.stderr)
	}
}

var dropName = regexp.MustCompile(`^[0-9][0-9A-Za-z-]{20,}(\.[a-z0-9-]+)?\.json$`)

// drops returns the content of every drop in a project, and checks their
// names and that nothing is left in tmp.
func drops(t *testing.T, project string) []string {
	t.Helper()
	var got []string
	for _, name := range agenttest.List(t, project, ".spool", "incoming") {
		if !dropName.MatchString(name) {
			t.Errorf("a drop is called %q", name)
		}
		got = append(got, agenttest.Read(t, project, ".spool", "incoming", name))
	}
	if left := agenttest.List(t, project, ".spool", "tmp"); left != nil {
		t.Errorf("left in tmp: %q", left)
	}
	return got
}

func wantDrops(t *testing.T, project string, want ...string) {
	t.Helper()
	if got := drops(t, project); !slices.Equal(got, want) {
		t.Errorf("drops in %s: %.300q\nwant %.300q", project, got, want)
	}
}

func TestHookFirstUse(t *testing.T) {
	hook := script(t, Hook())
	eachShell(t, func(t *testing.T, sh []string) {
		for _, umask := range []string{"000", "022", "777"} {
			dir := t.TempDir()
			argv := append([]string{"sh", "-c", `umask "$0"; exec "$@"`, umask}, sh...)
			runHook(t, command(dir, append(argv, hook)), event)
			wantDrops(t, dir, event)
			spool := filepath.Join(dir, ".spool")
			if got := agenttest.List(t, spool); !slices.Equal(got, []string{".gitignore", "incoming", "tmp"}) {
				t.Errorf("the spool has %q", got)
			}
			if got := agenttest.Read(t, spool, ".gitignore"); got != "*\n" {
				t.Errorf(".gitignore has %q", got)
			}
			for _, sub := range []string{".", "incoming", "tmp"} {
				checkMode(t, fs.ModeDir|0o700, spool, sub)
			}
			checkMode(t, 0o600, spool, ".gitignore")
			checkMode(t, 0o600, spool, "incoming", agenttest.List(t, spool, "incoming")[0])
		}
	})
}

func TestHookHeals(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		dir := t.TempDir()
		for _, gone := range []string{"incoming", "tmp", ".gitignore", "."} {
			runHook(t, command(dir, hook), event)
			wantDrops(t, dir, event)
			os.RemoveAll(filepath.Join(dir, ".spool", "incoming"))
			os.RemoveAll(filepath.Join(dir, ".spool", gone))
		}
	})
}

func TestHookProject(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		for _, name := range names {
			top := t.TempDir()
			dir := filepath.Join(top, name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Logf("%q cannot be a name here: %v", name, err)
				continue
			}
			// The working directory, where nothing above it has a spool.
			runHook(t, command(dir, hook), "1")
			// A subdirectory of it, in which a link is not a spool.
			sub := mkdir(t, dir, name, "sub")
			if err := os.Symlink(t.TempDir(), filepath.Join(sub, ".spool")); err != nil {
				t.Fatal(err)
			}
			runHook(t, command(sub, hook), "2")
			// What Claude Code says, from elsewhere; relative, too.
			runHook(t, command("/", hook, "CLAUDE_PROJECT_DIR="+dir), "3")
			runHook(t, command(top, hook, "CLAUDE_PROJECT_DIR="+name), "4")
			got := drops(t, dir)
			slices.Sort(got)
			if !slices.Equal(got, []string{"1", "2", "3", "4"}) {
				t.Errorf("%q: drops %q", name, got)
			}
			// It goes before a spool that is nearer.
			mkdir(t, filepath.Dir(sub), ".spool")
			runHook(t, command(dir, hook, "CLAUDE_PROJECT_DIR="+filepath.Dir(sub)), "5")
			wantDrops(t, filepath.Dir(sub), "5")
			// One that is not there is not made.
			runHook(t, command(dir, hook, "CLAUDE_PROJECT_DIR="+filepath.Join(top, "none")), "6")
			if got := agenttest.List(t, top); len(got) != 1 {
				t.Errorf("made in the parent: %q", got)
			}
		}
	})
}

func TestHookInput(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		for _, input := range []string{
			"x",
			"no newline at the end\\",
			"\x00\xff\n\n\n",
			"-n -e \\c",
			strings.Repeat("0123456789abcdef", 1<<17),
		} {
			dir := t.TempDir()
			runHook(t, command(dir, hook), input)
			wantDrops(t, dir, input)
		}
		dir := t.TempDir()
		runHook(t, command(dir, hook), "")
		wantDrops(t, dir)
	})
}

// Whatever the surroundings, the hook does its work and stays silent.
func TestHookSurroundings(t *testing.T) {
	hook := script(t, Hook())
	eachShell(t, func(t *testing.T, sh []string) {
		plain := append(slices.Clone(sh), hook)
		for name, cmd := range map[string]*exec.Cmd{
			"options -eu":    command("", append(slices.Clone(sh), "-eu", hook)),
			"option -C":      command("", append(slices.Clone(sh), "-C", hook)),
			"option -f":      command("", append(slices.Clone(sh), "-f", hook)),
			"no PATH":        command("", plain, "PATH="),
			"another PATH":   command("", plain, "PATH=/nonexistent:."),
			"ENV and CDPATH": command("", plain, "ENV=/nonexistent", "CDPATH=/:/tmp", "IFS=/.", "PWD=/"),
			"its variables":  command("", plain, "project=/x", "spool=/x", "random=x", "name=x", "up=x", "tmp=x"),
			"empty project":  command("", plain, "CLAUDE_PROJECT_DIR="),
			"no stdout":      command("", append([]string{"sh", "-c", `exec "$@" >&-`, "sh"}, plain...)),
			"no stderr":      command("", append([]string{"sh", "-c", `exec "$@" 2>&-`, "sh"}, plain...)),
			"neither":        command("", append([]string{"sh", "-c", `exec "$@" >&- 2>&-`, "sh"}, plain...)),
		} {
			t.Run(name, func(t *testing.T) {
				cmd.Dir = t.TempDir()
				runHook(t, cmd, event)
				wantDrops(t, cmd.Dir, event)
			})
		}
		t.Run("no environment", func(t *testing.T) {
			cmd := command(t.TempDir(), plain)
			cmd.Env = []string{}
			runHook(t, cmd, event)
			wantDrops(t, cmd.Dir, event)
		})
		t.Run("no stdin", func(t *testing.T) {
			for _, closing := range []string{"<&-", "<&- >&- 2>&-"} {
				cmd := command(t.TempDir(), append([]string{"sh", "-c", `exec "$@" ` + closing, "sh"}, plain...))
				if r := run(t, cmd); r != (result{}) {
					t.Errorf("%+v", r)
				}
				wantDrops(t, cmd.Dir)
			}
		})
		t.Run("no tools", func(t *testing.T) {
			without := script(t, strings.Replace(Hook(), "PATH=/usr/bin:/bin", "PATH=/nonexistent", 1))
			cmd := command(mkdir(t, t.TempDir(), "p"), append(slices.Clone(sh), without), "PATH=/nonexistent")
			cmd.Stdin = strings.NewReader(event)
			if r := run(t, cmd); r != (result{}) {
				t.Errorf("%+v", r)
			}
		})
	})
}

// Without the kernel's UUID, names come from date and od.
func TestHookFallback(t *testing.T) {
	hook := script(t, strings.Replace(Hook(), "/proc/sys/kernel/random/uuid", "/nonexistent", 1))
	eachShell(t, func(t *testing.T, sh []string) {
		dir := t.TempDir()
		runHook(t, command(dir, append(slices.Clone(sh), hook)), event)
		runHook(t, command(dir, append(slices.Clone(sh), "-eu", hook)), event)
		wantDrops(t, dir, event, event)
	})
}

// Sixteen at once, and the first of them find no spool.
func TestHookConcurrent(t *testing.T) {
	const hooks, rounds = 16, 12
	eachHook(t, func(t *testing.T, hook []string) {
		for round := range rounds {
			dir := t.TempDir()
			var want []string
			var wait sync.WaitGroup
			start := make(chan struct{})
			for i := range hooks {
				input := fmt.Sprintf(`{"payload":"%d %03d"}`, round, i)
				want = append(want, input)
				wait.Go(func() {
					cmd := command(dir, hook)
					<-start
					runHook(t, cmd, input)
				})
			}
			close(start)
			wait.Wait()
			got := drops(t, dir)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("round %d: %d drops of %d: %q", round, len(got), hooks, got)
			}
			if got := agenttest.Read(t, dir, ".spool", ".gitignore"); got != "*\n" {
				t.Errorf(".gitignore has %q", got)
			}
		}
	})
}

// large is more than a pipe holds: a hook that does not read it blocks or
// breaks its tool.
var large = strings.Repeat("x", 300_000)

// obstacles are spools in which nothing can be stored. Each prepares the
// project dir and may use the directory outside, which must stay as it is.
var obstacles = map[string]func(dir, outside string) error{
	"spool is a link": func(dir, outside string) error {
		return os.Symlink(outside, filepath.Join(dir, ".spool"))
	},
	"spool is a dangling link": func(dir, outside string) error {
		return os.Symlink(filepath.Join(outside, "new"), filepath.Join(dir, ".spool"))
	},
	"spool is a file": func(dir, _ string) error {
		return os.WriteFile(filepath.Join(dir, ".spool"), nil, 0o600)
	},
	"tmp is a link": func(dir, outside string) error {
		os.MkdirAll(filepath.Join(dir, ".spool", "incoming"), 0o700)
		return os.Symlink(outside, filepath.Join(dir, ".spool", "tmp"))
	},
	"incoming is a link": func(dir, outside string) error {
		os.MkdirAll(filepath.Join(dir, ".spool", "tmp"), 0o700)
		return os.Symlink(outside, filepath.Join(dir, ".spool", "incoming"))
	},
	"incoming is a dangling link": func(dir, outside string) error {
		os.MkdirAll(filepath.Join(dir, ".spool"), 0o700)
		return os.Symlink(filepath.Join(outside, "new"), filepath.Join(dir, ".spool", "incoming"))
	},
	"tmp is a file": func(dir, _ string) error {
		os.MkdirAll(filepath.Join(dir, ".spool", "incoming"), 0o700)
		return os.WriteFile(filepath.Join(dir, ".spool", "tmp"), nil, 0o600)
	},
	"incoming is a FIFO": func(dir, _ string) error {
		os.MkdirAll(filepath.Join(dir, ".spool", "tmp"), 0o700)
		return syscall.Mkfifo(filepath.Join(dir, ".spool", "incoming"), 0o600)
	},
}

func TestHookObstacles(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		for name, prepare := range obstacles {
			t.Run(name, func(t *testing.T) {
				dir, outside := t.TempDir(), t.TempDir()
				mkdir(t, outside, "incoming")
				mkdir(t, outside, "tmp")
				if err := prepare(dir, outside); err != nil {
					t.Fatal(err)
				}
				runHook(t, command(dir, hook), large)
				if got := agenttest.List(t, outside); !slices.Equal(got, []string{"incoming", "tmp"}) {
					t.Errorf("outside has %q", got)
				}
				for _, sub := range []string{"incoming", "tmp"} {
					if got := agenttest.List(t, outside, sub); got != nil {
						t.Errorf("outside/%s has %q", sub, got)
					}
				}
			})
		}
	})
}

// A link or a FIFO in the place of .gitignore is neither followed nor opened.
func TestHookIgnoreFile(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		dir, outside := t.TempDir(), t.TempDir()
		spool := mkdir(t, dir, ".spool")
		if err := os.Symlink(filepath.Join(outside, "new"), filepath.Join(spool, ".gitignore")); err != nil {
			t.Fatal(err)
		}
		runHook(t, command(dir, hook), event)
		wantDrops(t, dir, event)
		if got := agenttest.List(t, outside); got != nil {
			t.Errorf("outside has %q", got)
		}

		dir = t.TempDir()
		spool = mkdir(t, dir, ".spool")
		if err := syscall.Mkfifo(filepath.Join(spool, ".gitignore"), 0o600); err != nil {
			t.Fatal(err)
		}
		runHook(t, command(dir, hook), event)
		wantDrops(t, dir, event)
	})
}

func TestHookReadOnly(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		argv := bound(t, hook)
		for _, locked := range []string{"", ".spool", ".spool/tmp", ".spool/incoming"} {
			t.Run("/"+locked, func(t *testing.T) {
				dir := t.TempDir()
				path := mkdir(t, dir, locked)
				if filepath.Dir(locked) == ".spool" {
					mkdir(t, dir, ".spool", "tmp")
					mkdir(t, dir, ".spool", "incoming")
				}
				if err := os.Chmod(path, 0o500); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.Chmod(path, 0o700) })
				runHook(t, command(dir, argv), large)
				wantDrops(t, dir)
				if locked == "" {
					return
				}
				if got := agenttest.List(t, path); got != nil {
					t.Errorf("%s has %q", locked, got)
				}
			})
		}
	})
}

// An input that does not fit becomes no drop, and leaves nothing behind.
func TestHookDiskFull(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		dir := t.TempDir()
		argv := append([]string{"sh", "-c", `ulimit -f 8; exec "$@"`, "sh"}, hook...)
		runHook(t, command(dir, argv), large)
		wantDrops(t, dir)
		runHook(t, command(dir, argv), event)
		wantDrops(t, dir, event)
	})
}

// Killed while it reads, the hook leaves a file in tmp and no drop.
func TestHookKilled(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		dir := t.TempDir()
		cmd := command(dir, hook)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(stdin, `{"half":`); err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(dir, ".spool", "tmp")
		agenttest.Until(t, "the file in tmp", func() bool { return len(agenttest.List(t, tmp)) == 1 })
		// The whole group: dd must not go on by itself.
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if got := agenttest.List(t, dir, ".spool", "incoming"); got != nil {
			t.Errorf("drops: %q", got)
		}
	})
}

// registrations returns the content of every file in a state directory's
// registry, and checks that nothing unfinished is left there.
func registrations(t *testing.T, state string) []string {
	t.Helper()
	var got []string
	for _, name := range agenttest.List(t, state, "spool-agent", "projects") {
		if strings.HasPrefix(name, ".") || len(name) > 255 {
			t.Errorf("a registration is called %q", name)
		}
		checkMode(t, 0o600, state, "spool-agent", "projects", name)
		got = append(got, agenttest.Read(t, state, "spool-agent", "projects", name))
	}
	return got
}

// realTemp is a temporary directory by the path that has no links.
func realTemp(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// The hook that makes a spool tells the agent of the project; others need not.
func TestHookRegisters(t *testing.T) {
	hook := script(t, Hook())
	eachShell(t, func(t *testing.T, sh []string) {
		sh = append(slices.Clone(sh), hook)
		for _, name := range names {
			top := realTemp(t)
			dir := filepath.Join(top, name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Logf("%q cannot be a name here: %v", name, err)
				continue
			}
			home := filepath.Join(realTemp(t), name)
			state := filepath.Join(home, ".local", "state")
			want := func(n int) {
				t.Helper()
				if got := registrations(t, state); !slices.Equal(got, slices.Repeat([]string{dir + "\n"}, n)) {
					t.Errorf("%q: registered: %q", name, got)
				}
			}
			runHook(t, command(dir, sh, "HOME="+home), event)
			wantDrops(t, dir, event)
			want(1)
			for _, part := range []string{"", ".local", ".local/state", ".local/state/spool-agent", ".local/state/spool-agent/projects"} {
				checkMode(t, fs.ModeDir|0o700, home, part)
			}
			runHook(t, command(dir, sh, "HOME="+home), event)
			want(1)
			// The spool has gone, or its directories have.
			os.RemoveAll(filepath.Join(dir, ".spool"))
			runHook(t, command("/", sh, "HOME="+home, "CLAUDE_PROJECT_DIR="+dir), event)
			want(2)
			os.RemoveAll(filepath.Join(dir, ".spool", "incoming"))
			runHook(t, command(top, sh, "HOME="+home, "CLAUDE_PROJECT_DIR="+name, "CDPATH=/"), event)
			want(2)
			// Somebody else has made the spool.
			if err := os.Remove(filepath.Join(dir, ".spool", ".registered")); err != nil {
				t.Error(err)
			}
			runHook(t, command(top, sh, "HOME="+home, "CLAUDE_PROJECT_DIR="+name, "CDPATH=/"), event)
			want(3)
			runHook(t, command(top, sh, "HOME="+home, "CLAUDE_PROJECT_DIR="+name, "CDPATH=/"), event)
			want(3)
			// By way of a link; the state directory of the configuration does not count.
			os.RemoveAll(filepath.Join(dir, ".spool"))
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			runHook(t, command("/", sh, "HOME="+home, "CLAUDE_PROJECT_DIR="+link, "XDG_STATE_HOME="+filepath.Join(home, "elsewhere")), event)
			want(4)
			// A power cut has emptied the registration, or undone it.
			mark := filepath.Join(dir, ".spool", ".registered")
			file, err := os.Readlink(mark)
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, "")
			runHook(t, command(dir, sh, "HOME="+home), event)
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
			want(4)
			if file, err = os.Readlink(mark); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
			runHook(t, command(dir, sh, "HOME="+home), event)
			runHook(t, command(dir, sh, "HOME="+home), event)
			want(4)
			os.RemoveAll(filepath.Join(dir, ".spool"))
			runHook(t, command(dir, sh, "HOME="+home), event)
			wantDrops(t, dir, event)
		}
	})
}

// A project that was moved or copied is another one, for the agent as well.
func TestHookRegistersAnew(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		top, home := realTemp(t), t.TempDir()
		state := filepath.Join(home, ".local", "state")
		first, moved, copied := filepath.Join(top, "first"), filepath.Join(top, "m o'v\"ed"), filepath.Join(top, "copied")
		mkdir(t, first)
		use := func(dir string, want ...string) {
			t.Helper()
			for range 2 {
				runHook(t, command(dir, hook, "HOME="+home), event)
			}
			got := registrations(t, state)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("registered: %q, want %q", got, want)
			}
		}
		use(first, first+"\n")
		if err := os.Rename(first, moved); err != nil {
			t.Fatal(err)
		}
		use(moved, first+"\n", moved+"\n")
		if out, err := exec.Command("cp", "-a", moved, copied).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		use(copied, first+"\n", moved+"\n", copied+"\n")
		// Where there are no links, a file with the path does; an empty one says never.
		for _, text := range []string{moved + "\n", moved, ""} {
			mark := filepath.Join(moved, ".spool", ".registered")
			if err := os.Remove(mark); err != nil {
				t.Fatal(err)
			}
			write(t, mark, text)
			use(moved, first+"\n", moved+"\n", copied+"\n")
		}
	})
}

// Whatever keeps it from registering, the drop is stored.
func TestHookCannotRegister(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		home := t.TempDir()
		write(t, filepath.Join(home, "file"), "")
		locked := mkdir(t, home, "locked")
		if err := os.Chmod(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("nowhere/at/all", filepath.Join(home, "link")); err != nil {
			t.Fatal(err)
		}
		mkdir(t, home, "taken", ".local", "state", "spool-agent")
		write(t, filepath.Join(home, "taken", ".local", "state", "spool-agent", "projects"), "")
		before := agenttest.List(t, home)
		for _, env := range [][]string{
			{},
			{"HOME="},
			{"HOME=.", "XDG_STATE_HOME=" + home},
			{"HOME=" + filepath.Join(home, "file")},
			{"HOME=" + locked},
			{"HOME=" + filepath.Join(home, "link")},
			{"HOME=" + filepath.Join(home, "taken")},
			{"HOME=/dev/null"},
		} {
			cmd := command(t.TempDir(), bound(t, hook), env...)
			runHook(t, cmd, event)
			wantDrops(t, cmd.Dir, event)
			if got := agenttest.List(t, cmd.Dir); !slices.Equal(got, []string{".spool"}) {
				t.Errorf("%q: the project has %q", env, got)
			}
		}
		if got := agenttest.List(t, home); !slices.Equal(got, before) {
			t.Errorf("home has %q", got)
		}
	})
}

// A hook that ends between the two leaves a project that is known, not one
// that is never looked at.
func TestHookRegistersFirst(t *testing.T) {
	text := Hook()
	const then = " && register\n"
	if strings.Count(text, then) != 1 {
		t.Fatal("the hook does not register in one place")
	}
	hook := script(t, strings.Replace(text, then, then+"\texit\n", 1))
	eachShell(t, func(t *testing.T, sh []string) {
		dir, home := realTemp(t), t.TempDir()
		state := filepath.Join(home, ".local", "state")
		cmd := command(dir, append(slices.Clone(sh), hook), "HOME="+home)
		cmd.Stdin = strings.NewReader(event)
		if r := run(t, cmd); r != (result{}) {
			t.Errorf("%+v", r)
		}
		if got := registrations(t, state); !slices.Equal(got, []string{dir + "\n"}) {
			t.Errorf("registered: %q", got)
		}
		if got := agenttest.List(t, dir, ".spool"); !slices.Equal(got, []string{".gitignore", ".registered"}) {
			t.Errorf("the spool has %q", got)
		}
	})
}

// Which directory is the project, by what the tools set.
func TestHookTools(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		for name, test := range map[string]struct {
			env  []string // %s: the project
			in   string   // the working directory
			want string
		}{
			"Cursor, a user's hook":   {[]string{"CURSOR_PROJECT_DIR=%s"}, "/", "p"},
			"Cursor, as Claude":       {[]string{"CURSOR_PROJECT_DIR=%s", "CLAUDE_PROJECT_DIR=%s"}, "/", "p"},
			"Claude Code in Cursor":   {[]string{"CURSOR_PROJECT_DIR=/nowhere", "CLAUDE_PROJECT_DIR=%s"}, "/", "p"},
			"Gemini CLI":              {[]string{"GEMINI_PROJECT_DIR=%s/sub", "CLAUDE_PROJECT_DIR=%s/sub"}, "p/sub", "p"},
			"Codex in a subdirectory": {nil, "p/sub", "p"},
		} {
			t.Run(name, func(t *testing.T) {
				top := t.TempDir()
				dir := filepath.Join(top, "p")
				mkdir(t, dir, "sub")
				mkdir(t, dir, ".spool")
				env := slices.Clone(test.env)
				for i := range env {
					env[i] = strings.Replace(env[i], "%s", dir, 1)
				}
				in := test.in
				if in != "/" {
					in = filepath.Join(top, in)
				}
				runHook(t, command(in, hook, env...), event)
				wantDrops(t, filepath.Join(top, test.want), event)
			})
		}
	})
}

// The last argument is the event, as Codex gives it to its notify program. No
// standard input is waited for.
func TestHookArgument(t *testing.T) {
	const notification = `{"type":"agent-turn-complete","thread-id":"t","input-messages":["$HOME %s \\n ü\u00fc"]}`
	eachHook(t, func(t *testing.T, hook []string) {
		for _, args := range [][]string{{notification}, {"--notify", "{x", notification}} {
			cmd := command(t.TempDir(), slices.Concat(hook, args))
			stdin, err := cmd.StdinPipe() // that never ends
			if err != nil {
				t.Fatal(err)
			}
			if r := run(t, cmd); r != (result{}) {
				t.Errorf("%+v", r)
			}
			stdin.Close()
			wantDrops(t, cmd.Dir, notification+"\n")
		}
		for _, args := range [][]string{{""}, {"x"}, {notification, "x"}, {"-e", " {}"}} {
			cmd := command(t.TempDir(), slices.Concat(hook, args))
			runHook(t, cmd, event)
			wantDrops(t, cmd.Dir, event)
		}
	})
}

// Whatever the standard input is, and however slowly it comes.
func TestHookKindsOfInput(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		file := filepath.Join(t.TempDir(), "event")
		write(t, file, event)
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct{ redirect, want string }{
			"file":            {"<'" + file + "'", event},
			"file, half read": {"<'" + file + "' && read -r x", ""},
			"FIFO":            {"<'" + fifo + "'", event},
			"/dev/null":       {"</dev/null", ""},
			"a directory":     {"</", ""},
		} {
			t.Run(name, func(t *testing.T) {
				redirect, then, _ := strings.Cut(test.redirect, " && ")
				cmd := command(t.TempDir(), append([]string{"sh", "-c", "exec " + redirect + "; " + then + "\n" + `"$@"`, "sh"}, hook...))
				if name == "FIFO" {
					fed := make(chan error, 1)
					go func() { fed <- os.WriteFile(fifo, []byte(event), 0) }()
					defer func() {
						if err := <-fed; err != nil {
							t.Error(err)
						}
					}()
				}
				if r := run(t, cmd); r != (result{}) {
					t.Errorf("%+v", r)
				}
				if test.want == "" {
					wantDrops(t, cmd.Dir)
				} else {
					wantDrops(t, cmd.Dir, test.want)
				}
			})
		}
		t.Run("byte by byte", func(t *testing.T) {
			cmd := command(t.TempDir(), hook)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for i := range event {
					io.WriteString(stdin, event[i:i+1])
				}
				stdin.Close()
			}()
			if r := run(t, cmd); r != (result{}) {
				t.Errorf("%+v", r)
			}
			wantDrops(t, cmd.Dir, event)
		})
	})
}

// Where recording is switched off, nothing is stored and nothing is made.
func TestHookOff(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		dir, home := t.TempDir(), t.TempDir()
		write(t, filepath.Join(mkdir(t, dir, ".spool"), "off"), "")
		runHook(t, command(mkdir(t, dir, "sub"), hook, "HOME="+home), large)
		if got := agenttest.List(t, dir, ".spool"); !slices.Equal(got, []string{"off"}) {
			t.Errorf("the spool has %q", got)
		}
		if got := registrations(t, filepath.Join(home, ".local", "state")); got != nil {
			t.Errorf("registered: %q", got)
		}
		if err := os.Remove(filepath.Join(dir, ".spool", "off")); err != nil {
			t.Fatal(err)
		}
		runHook(t, command(filepath.Join(dir, "sub"), hook, "HOME="+home), event)
		wantDrops(t, dir, event)
	})
}

// Which directory a hook stores in, by the cases that all producers share.
func TestHookPlaces(t *testing.T) {
	eachHook(t, func(t *testing.T, hook []string) {
		agenttest.EachPlace(t, func(t *testing.T, p agenttest.Place) {
			runHook(t, command(p.Start, hook, "HOME="+p.Home), event)
			p.CheckDrops(t)
			runHook(t, command("/", hook, "HOME="+p.Home, "CLAUDE_PROJECT_DIR="+p.Start), event)
			p.CheckDrops(t)
		})
	})
}
