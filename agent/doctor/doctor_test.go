//go:build unix

package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"spoolagent/agent"
	"spoolagent/agent/registry"
	"spoolagent/agent/status"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tempDir is a directory by its real path.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return dir
}

// sound is a project that nothing is wrong with.
func sound(t testing.TB) string {
	t.Helper()
	p := tempDir(t)
	sp, err := spoolfiles.Create(p)
	must(t, err)
	must(t, sp.Close())
	return p
}

func in(project string, path ...string) string {
	return filepath.Join(append([]string{project, spoolfiles.DirName}, path...)...)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func age(t testing.TB, path string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	must(t, os.Chtimes(path, at, at))
}

// serve does as if an agent served the project, but did nothing.
func serve(t testing.TB, project string) {
	t.Helper()
	lock := flock.New(in(project, "agent.lock"), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	must(t, err)
	if !ok {
		t.Fatal("the project is served already")
	}
	t.Cleanup(func() { lock.Unlock() })
	write(t, in(project, "agent.lock"), `{"pid":1,"version":"test"}`)
}

func facts(t testing.TB, projects ...string) Facts {
	state := filepath.Join(tempDir(t), "state")
	return Facts{StateDir: state, Registry: registry.Registry{Dir: filepath.Join(state, "projects")}, Version: "test", Projects: projects, Options: queue.DefaultOptions(),
		Hooks: func(context.Context) Hooks { return Hooks{} }}
}

// tree is everything there is below some directories, to the nanosecond.
func tree(t testing.TB, roots ...string) string {
	t.Helper()
	var b strings.Builder
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == root {
				return nil
			}
			info, ierr := os.Lstat(path)
			if ierr != nil {
				return ierr
			}
			st := info.Sys().(*syscall.Stat_t)
			fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano(), st.Ino, st.Uid)
			return nil
		})
		must(t, err)
	}
	return b.String()
}

// named are the checks of that name.
func named(checks []Check, name string) (some []Check) {
	for _, c := range checks {
		if c.Name == name {
			some = append(some, c)
		}
	}
	return some
}

func TestASoundProject(t *testing.T) {
	p := sound(t)
	sp, err := spoolfiles.Open(p)
	must(t, err)
	defer sp.Close()
	q := queue.New(sp, queue.DefaultOptions(), nil)
	_, err = sp.Drop([]byte(`{"tool_name":"x"}`))
	must(t, err)
	err = q.Take(context.Background(), spoolfiles.NewID())
	must(t, err)
	_, err = sp.Drop([]byte(`{"tool_name":"y"}`))
	must(t, err)
	before := tree(t, p)
	checks := Examine(context.Background(), facts(t, p))
	for _, c := range checks {
		switch c.Subject() {
		case "project", "spool", "disk", "projects":
			if c.Status != OK {
				t.Errorf("%+v", c)
			}
		}
	}
	if diff := cmp.Diff(before, tree(t, p)); diff != "" {
		t.Errorf("the doctor has changed something:\n%s", diff)
	}
	for _, look := range looks {
		if len(named(checks, look.name)) != 1 {
			t.Errorf("%s is not told", look.name)
		}
	}
}

func root(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

// What is wrong with a project is found, told with how to mend it, and left
// as it is.
func TestWhatIsWrongWithAProject(t *testing.T) {
	const old = 2*time.Minute + 5*time.Second
	git := func(t *testing.T, p string, args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", p, "-c", "user.name=x", "-c", "user.email=x"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	for _, c := range []struct {
		name   string
		make   func(t *testing.T, p string)
		check  string
		status Level
		detail string // part of it
		mend   string // part of it; DIR stands for the project
	}{
		{"gone", func(t *testing.T, p string) { must(t, os.RemoveAll(p)) },
			"project.exists", Warning, "no such directory", "agent remove DIR"},
		{"a file in its place", func(t *testing.T, p string) { must(t, os.RemoveAll(p)); write(t, p, "") },
			"project.exists", Warning, "no such directory", "agent remove DIR"},
		{"no spool", func(t *testing.T, p string) { must(t, os.RemoveAll(in(p))) },
			"project.exists", Warning, "no .spool", "agent add DIR"},
		{"the spool is a link", func(t *testing.T, p string) {
			must(t, os.RemoveAll(in(p)))
			must(t, os.Symlink("/etc", in(p)))
		}, "spool.links", Failure, ".spool", "rm DIR/.spool"},
		{"incoming is a link", func(t *testing.T, p string) {
			must(t, os.RemoveAll(in(p, "incoming")))
			must(t, os.Symlink("/etc", in(p, "incoming")))
		}, "spool.links", Failure, ".spool/incoming", "rm DIR/.spool/incoming"},
		{"control is a file", func(t *testing.T, p string) {
			must(t, os.RemoveAll(in(p, "control")))
			write(t, in(p, "control"), "")
		}, "spool.links", Failure, "something else", "rm DIR/.spool/control"},
		{"the queue is a link", func(t *testing.T, p string) { must(t, os.Symlink("/etc/passwd", in(p, queue.FileName))) },
			"spool.links", Failure, "is a symbolic link", "rm DIR/.spool/" + queue.FileName},
		{"the ledger has two names", func(t *testing.T, p string) {
			write(t, filepath.Join(p, "x"), "{}")
			must(t, os.Link(filepath.Join(p, "x"), in(p, "ledger.json")))
		}, "spool.links", Failure, "2 hard links", "rm DIR/.spool/ledger.json"},
		{"the lock is a FIFO", func(t *testing.T, p string) { must(t, syscall.Mkfifo(in(p, "agent.lock"), 0o600)) },
			"spool.links", Failure, "no plain file", "rm DIR/.spool/agent.lock"},
		{"another user's spool", func(t *testing.T, p string) { root(t); must(t, os.Chown(in(p), 1, 1)) },
			"spool.owner", Failure, "belongs to user 1", "chown -R 0 DIR/.spool"},
		{"another user's incoming", func(t *testing.T, p string) { root(t); must(t, os.Chown(in(p, "incoming"), 1, 1)) },
			"spool.owner", Failure, "belongs to user 1", "chown -R 0 DIR/.spool"},
		{"another user's drop", func(t *testing.T, p string) {
			root(t)
			write(t, in(p, "incoming", "a.json"), "{}")
			must(t, os.Chown(in(p, "incoming", "a.json"), 1, 1))
		}, "spool.owner", Failure, ".spool/incoming/a.json", "chown -R 0 DIR/.spool"},
		{"others can read", func(t *testing.T, p string) { must(t, os.Chmod(in(p), 0o755)) },
			"spool.permissions", Warning, ".spool is 0755", "chmod -R go-rwx DIR/.spool"},
		{"others can write", func(t *testing.T, p string) { must(t, os.Chmod(in(p, "control"), 0o770)) },
			"spool.permissions", Failure, ".spool/control is 0770", "chmod -R go-rwx DIR/.spool"},
		{"closed", func(t *testing.T, p string) { must(t, os.Chmod(in(p, "incoming"), 0o500)) },
			"spool.permissions", Failure, ".spool/incoming is 0500", "chmod -R u+rwX DIR/.spool"},
		{"a readable file", func(t *testing.T, p string) {
			write(t, in(p, queue.FileName), "")
			must(t, os.Chmod(in(p, queue.FileName), 0o644))
		}, "spool.permissions", Warning, "distill-pending.queue is 0644", "chmod -R go-rwx DIR/.spool"},
		{"tracked", func(t *testing.T, p string) {
			git(t, p, "init", "-q")
			git(t, p, "add", "-f", ".spool/.gitignore")
		}, "spool.git", Failure, "tracked by git", "git -C DIR rm -r -q --cached .spool"},
		{"tracked, in a project below the repository", func(t *testing.T, p string) {
			git(t, filepath.Dir(p), "init", "-q")
			git(t, filepath.Dir(p), "add", "-f", filepath.Base(p)+"/.spool/.gitignore")
			t.Cleanup(func() { os.RemoveAll(filepath.Join(filepath.Dir(p), ".git")) })
		}, "spool.git", Failure, "tracked by git", "git -C DIR rm"},
		{"not ignored", func(t *testing.T, p string) {
			git(t, p, "init", "-q")
			must(t, os.Remove(in(p, ".gitignore")))
		}, "spool.git", Warning, "no .gitignore", "echo '*' >DIR/.spool/.gitignore"},
		{"not all ignored", func(t *testing.T, p string) {
			git(t, p, "init", "-q")
			write(t, in(p, ".gitignore"), "tmp\n")
		}, "spool.git", Warning, "does not say *", "echo '*' >DIR/.spool/.gitignore"},
		{"strays", func(t *testing.T, p string) {
			for _, path := range []string{"notes.txt", "incoming/a.txt", "control/zzz", "control/ä.drain"} {
				write(t, in(p, path), "")
				age(t, in(p, path), old)
			}
			write(t, in(p, "tmp", "a"), "")
			age(t, in(p, "tmp", "a"), 48*time.Hour)
		}, "spool.strays", Warning, ".spool/control/zzz", "ls -laR DIR/.spool"},
		{"drops wait", func(t *testing.T, p string) {
			write(t, in(p, "incoming", "a.json"), "{}")
			age(t, in(p, "incoming", "a.json"), old)
		}, "spool.drops", Warning, "1, the oldest for 2 min", "agent drain --project DIR"},
		{"drops wait for an agent", func(t *testing.T, p string) {
			serve(t, p)
			write(t, in(p, "incoming", "a.json"), "{}")
			age(t, in(p, "incoming", "a.json"), old)
		}, "spool.drops", Failure, "although an agent serves", "agent restart"},
		{"requests wait", func(t *testing.T, p string) {
			write(t, in(p, "control", "a.drain"), "")
			age(t, in(p, "control", "a.drain"), old)
		}, "spool.requests", Warning, "1, the oldest for 2 min", "agent install"},
		{"requests wait for an agent", func(t *testing.T, p string) {
			serve(t, p)
			write(t, in(p, "control", "a.drain"), "")
			age(t, in(p, "control", "a.drain"), old)
		}, "spool.requests", Failure, "although an agent serves", "agent restart"},
		{"replies wait", func(t *testing.T, p string) {
			write(t, in(p, "control", "a.signals"), "")
			age(t, in(p, "control", "a.signals"), 20*time.Minute+5*time.Second)
		}, "spool.replies", Warning, "1, the oldest for 20 min", "agent drain --project DIR"},
		{"rejects", func(t *testing.T, p string) { write(t, in(p, "rejected", "a"), "") },
			"spool.rejects", Warning, ": 1", "ls DIR/.spool/rejected"},
		{"malformed lines", func(t *testing.T, p string) { write(t, in(p, queue.FileName), "x\ny\n") },
			"spool.queue", Warning, ": 2", "agent peek --project DIR"},
		{"a locked queue", func(t *testing.T, p string) {
			lock := flock.New(in(p, queue.FileName), flock.SetPermissions(0o600))
			must(t, lock.Lock())
			t.Cleanup(func() { lock.Unlock() })
		}, "spool.queue", Warning, "holds the lock", "fuser -v DIR/.spool/" + queue.FileName},
		{"a ledger that does not close", func(t *testing.T, p string) { write(t, in(p, "ledger.json"), `{"folded":3}`) },
			"spool.ledger", Failure, "does not close", "agent drop --project DIR"},
		{"a change that is half done", func(t *testing.T, p string) { write(t, in(p, "queue.redo"), "spool-redo 1 ") },
			"spool.redo", Warning, "died in the middle", "agent peek --project DIR"},
		{"a change that does not get on", func(t *testing.T, p string) {
			serve(t, p)
			write(t, in(p, "queue.redo"), "spool-redo 1 ")
		}, "spool.redo", Failure, "does not get on", "agent restart"},
		{"drops from the future", func(t *testing.T, p string) {
			write(t, in(p, "incoming", "a.json"), "{}")
			age(t, in(p, "incoming", "a.json"), -time.Hour-30*time.Second)
		}, "spool.clock", Warning, "incoming, by 1 h", "timedatectl"},
		{"signals from the future", func(t *testing.T, p string) {
			write(t, in(p, queue.FileName), fmt.Sprintf(`{"recorded_at":%d,"cwd":"","tool_name":"x"}`+"\n", time.Now().Add(time.Hour).Unix()))
		}, "spool.clock", Warning, ": 1", "timedatectl"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := sound(t)
			c.make(t, p)
			before := tree(t, p)
			checks := Examine(context.Background(), facts(t, p))
			found := slices.ContainsFunc(named(checks, c.check), func(got Check) bool {
				return got.Status == c.status && strings.Contains(got.Detail, c.detail) &&
					strings.Contains(got.Mend, strings.ReplaceAll(c.mend, "DIR", p)) && slices.Equal(got.Projects, []string{p})
			})
			if !found {
				t.Errorf("want %s, %s: %s (%s), got %+v", c.check, c.status, c.detail, c.mend, named(checks, c.check))
			}
			for _, got := range checks {
				if strings.ContainsRune(got.Detail+got.Mend, 0) {
					t.Errorf("the place of a path was left empty: %+v", got)
				}
			}
			if diff := cmp.Diff(before, tree(t, p)); diff != "" {
				t.Errorf("the doctor has changed something:\n%s", diff)
			}
		})
	}
}

// A repository may name a program for git to run whenever it looks for changes.
func TestGitRunsNothingOfTheRepository(t *testing.T) {
	p := sound(t)
	if out, err := exec.Command("git", "-C", p, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ran := filepath.Join(tempDir(t), "ran")
	script := filepath.Join(p, "evil.sh")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\n: >'"+ran+"'\n"), 0o700))
	f, err := os.OpenFile(filepath.Join(p, ".git", "config"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = fmt.Fprintf(f, "[core]\n\tfsmonitor = %s\n", script)
	must(t, errors.Join(err, f.Close()))
	if err := exec.Command("git", "-C", p, "status").Run(); err != nil {
		t.Fatal(err)
	}
	if os.Remove(ran) != nil {
		t.Fatal("git itself does not run it, so this test shows nothing")
	}
	Examine(context.Background(), facts(t, p))
	if _, err := os.Lstat(ran); err == nil {
		t.Error("the repository's program was run")
	}
}

// An old date is no proof that a drop has waited: a producer may have set it.
func TestADropThatIsBeingFolded(t *testing.T) {
	p := sound(t)
	serve(t, p)
	drop := in(p, "incoming", "a.json")
	write(t, drop, "{}")
	age(t, drop, time.Hour)
	gone := time.AfterFunc(recheck/10, func() { os.Remove(drop) })
	defer gone.Stop()
	if c := named(Examine(context.Background(), facts(t, p)), "spool.drops"); c[0].Status != OK {
		t.Errorf("%+v", c)
	}
}

// However many have it, it is told once, and bounded.
func TestManyProjectsWithTheSame(t *testing.T) {
	base := tempDir(t)
	var projects []string
	for i := range 1000 {
		p := filepath.Join(base, fmt.Sprintf("p%04d", i))
		if i%2 == 0 {
			must(t, os.MkdirAll(in(p), 0o755))
		}
		projects = append(projects, p)
	}
	began := time.Now()
	checks := Examine(context.Background(), facts(t, projects...))
	t.Logf("%d projects in %v", len(projects), time.Since(began))
	lines := 0
	for _, c := range checks {
		lines += 1 + strings.Count(c.Detail, "\n")
	}
	if lines > 100 {
		t.Errorf("%d lines", lines)
	}
	gone := named(checks, "project.exists")[0]
	if len(gone.Projects) != 500 || !strings.HasSuffix(gone.Detail, "\nand 495 more like this") || !strings.Contains(gone.Mend, "agent remove DIR,") {
		t.Errorf("%s\n%s\n%d", gone.Detail, gone.Mend, len(gone.Projects))
	}
}

// What does not answer is told, and does not hold up the others.
func TestNoAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d := &diagnosis{facts: facts(t)}
	p := sound(t)
	if r := d.examine(ctx, p); len(r.findings) != 1 || r.findings[0].name != "spool.answer" || r.findings[0].status != Failure {
		t.Errorf("%+v", r)
	}
}

func TestStateDirectory(t *testing.T) {
	f := facts(t, sound(t))
	registry := filepath.Join(f.StateDir, "projects")
	must(t, os.MkdirAll(registry, 0o700))
	p := f.Projects[0]
	_, _, err := f.Registry.Add(p)
	must(t, err)
	f.Projects = append(f.Projects, filepath.Join(tempDir(t), "link"))
	must(t, os.Symlink(p, f.Projects[1]))
	write(t, filepath.Join(registry, "stray"), "no path")
	write(t, filepath.Join(registry, ".begun"), "/x")
	age(t, filepath.Join(registry, ".begun"), time.Hour)
	must(t, os.MkdirAll(filepath.Join(f.StateDir, "agents"), 0o755))
	write(t, filepath.Join(f.StateDir, "agents", "1-a.json"), "{}")
	write(t, filepath.Join(f.StateDir, "agents", "1-a.lock"), "")
	before := tree(t, f.StateDir)
	checks := Examine(context.Background(), f)
	for _, want := range []struct{ name, detail, mend string }{
		{"registry.files", "1 file that names no project", "rm " + filepath.Join(registry, "stray")},
		{"registry.files", "somebody has begun and left", "rm " + filepath.Join(registry, ".begun")},
		{"project.names", f.Projects[1] + ": is " + p, "agent remove " + f.Projects[1]},
		{"state.permissions", "agents can be read by others (-rwxr-xr-x)", "chmod 700 " + filepath.Join(f.StateDir, "agents")},
		{"agent.leftovers", "2 files of agents that are dead", "agent status"},
	} {
		if !slices.ContainsFunc(named(checks, want.name), func(c Check) bool {
			return c.Status == Warning && strings.Contains(c.Detail, want.detail) && c.Mend == want.mend
		}) {
			t.Errorf("want %+v, got %+v", want, named(checks, want.name))
		}
	}
	if diff := cmp.Diff(before, tree(t, f.StateDir)); diff != "" {
		t.Errorf("the doctor has changed something:\n%s", diff)
	}

	must(t, os.Chmod(f.StateDir, 0o777))
	if c := named(Examine(context.Background(), f), "state.permissions"); c[0].Status != Failure {
		t.Errorf("others can change it: %+v", c)
	}
	root(t)
	must(t, os.Chmod(f.StateDir, 0o700))
	must(t, os.Chown(f.StateDir, 1, 1))
	if c := named(Examine(context.Background(), f), "state.permissions"); c[0].Status != Failure || !strings.Contains(c[0].Mend, "chown -R 0") {
		t.Errorf("it is another's: %+v", c)
	}
}

func TestServiceConfigurationAndHooks(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	other := filepath.Join(tempDir(t), "agent")
	must(t, os.WriteFile(other, []byte("x"), 0o700))
	noProgram := filepath.Join(tempDir(t), "agent")
	write(t, noProgram, "x")
	well := Service{Installed: true, Enabled: true, Running: true, Detail: "active", Binary: self, File: "/unit"}
	with := func(change func(*Service)) Service {
		s := well
		change(&s)
		return s
	}
	for _, c := range []struct {
		s      Service
		name   string
		status Level
		mend   string
	}{
		{well, "service.installed", OK, ""},
		{well, "service.enabled", OK, ""},
		{well, "service.running", OK, ""},
		{well, "service.binary", OK, ""},
		{Service{Absent: "no systemd"}, "service.installed", Warning, ""},
		{Service{Reach: "no bus"}, "service.installed", Warning, ""},
		{Service{}, "service.installed", Warning, "agent install"},
		{with(func(s *Service) { s.Reach = "no bus" }), "service.enabled", Skipped, ""},
		{with(func(s *Service) { s.Enabled = false }), "service.enabled", Warning, "agent install"},
		{with(func(s *Service) { s.Running = false }), "service.running", Failure, "agent start"},
		{with(func(s *Service) { s.LingerOff = true }), "service.linger", Warning, "agent install --linger"},
		{with(func(s *Service) { s.Binary = other }), "service.binary", Warning, "agent install"},
		{with(func(s *Service) { s.Binary = noProgram }), "service.binary", Failure, "agent install"},
		{with(func(s *Service) { s.Binary = other + "2" }), "service.binary", Failure, "agent install"},
		{with(func(s *Service) { s.Binary = "" }), "service.binary", Warning, "agent install"},
	} {
		f := facts(t)
		f.Binary, f.Service = self, c.s
		got := named(Examine(context.Background(), f), c.name)
		if len(got) != 1 || got[0].Status != c.status || !strings.HasPrefix(got[0].Mend, c.mend) || c.mend == "" && got[0].Mend != "" {
			t.Errorf("%+v: want %s %s, got %+v", c.s, c.name, c.status, got)
		}
	}

	f := facts(t)
	f.Config = Config{File: "/c", Err: errors.New("line 3: unknown key")}
	f.Hooks = func(context.Context) Hooks {
		return Hooks{
			[]Tool{{Name: "a", Here: true, Connected: "no"}, {Name: "b", Connected: "no"}, {Name: "c", Connected: "outdated"},
				{Name: "d", Connected: "yes"}, {Name: "e", Here: true, Err: errors.New("broken")},
				{Name: "f", Here: true, Connected: "no"}, {Name: "g", Here: true, Single: true, Connected: "no"},
				{Name: "f", Project: "/p", Connected: "yes"}, {Name: "g", Project: "/p", Connected: "partly"},
				{Name: "g", Project: "/q", Connected: "partly"}},
			[]Script{{"/s1", "no"}, {"/s2", "outdated"}, {"/s3", "yes"}},
		}
	}
	var got []string
	for _, c := range Examine(context.Background(), f) {
		if s := c.Subject(); s == "config" || s == "hooks" {
			got = append(got, c.Name+" "+string(c.Status))
		}
	}
	want := []string{"config failure", "hooks.a warning", "hooks.c warning", "hooks.d ok", "hooks.e warning",
		"hooks.f ok", "hooks.g warning",
		"hooks.scripts failure", "hooks.scripts warning", "hooks.scripts ok"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The hooks of a project may be on a file system that does not answer.
func TestHooksThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		f := Facts{Hooks: func(context.Context) Hooks { <-end; return Hooks{} }}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, want := range []Check{
			{Name: "hooks", Status: Failure, Detail: "not looked at: no answer within 5s", Mend: "agent hooks list, in each project that has hooks"},
			{Name: "hooks", Status: Skipped, Detail: "interrupted"},
		} {
			d := &diagnosis{facts: f}
			d.checkHooks(ctx)
			if diff := cmp.Diff([]Check{want}, d.checks); diff != "" {
				t.Error(diff)
			}
			cancel()
		}
	})
}

// serving runs an agent for all projects of a user.
func serving(t *testing.T, f Facts) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.Config{User: true, StateDir: f.StateDir, Version: "test", Log: zerolog.Nop(),
			Settings: agent.Settings{Options: f.Options}})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	soon, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	must(t, await(soon, func() (bool, error) {
		infos, _, err := status.Leftovers(f.StateDir)
		return len(infos) == 1 && infos[0].User, err
	}))
}

func TestSelfTest(t *testing.T) {
	f := facts(t)
	if c := SelfTest(context.Background(), f); c.Status != Skipped {
		t.Errorf("no agent runs, but: %+v", c)
	}
	if _, err := os.Lstat(f.StateDir); err == nil {
		t.Error("a state directory was made")
	}
	serving(t, f)
	if c := named(Examine(context.Background(), f), "agent.running"); c[0].Status != OK {
		t.Errorf("%+v", c)
	}
	// What a killed one has left.
	leftover := filepath.Join(f.StateDir, "doctor-x")
	must(t, spoolfiles.Drop(mkdir(t, leftover), signal.Signal{ToolName: text("x")}.AppendLine(nil)))
	_, _, err := f.Registry.Add(leftover)
	must(t, err)
	// Several at once take turns.
	done := make(chan Check)
	for range 3 {
		go func() { done <- SelfTest(context.Background(), f) }()
	}
	for range 3 {
		c := <-done
		if c.Status != OK || c.Mend != "" {
			t.Errorf("%+v", c)
		}
		for _, step := range []string{"served after ", "in the queue after ", "answered after ", "gone after "} {
			if !strings.Contains(c.Detail, step) {
				t.Errorf("no %q in %q", step, c.Detail)
			}
		}
		t.Log(c.Detail)
	}
	nothingLeft(t, f)
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	must(t, os.MkdirAll(path, 0o700))
	return path
}

func nothingLeft(t *testing.T, f Facts) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(f.StateDir, "doctor*"))
	must(t, err)
	registered, err := f.Registry.List()
	must(t, err)
	if len(left)+len(registered) > 0 {
		t.Errorf("left behind: %v, %v", left, registered)
	}
}

// An agent that does nothing is found out, and an interrupted test leaves
// nothing either.
func TestSelfTestOfAnIdleAgent(t *testing.T) {
	f := facts(t)
	mkdir(t, f.StateDir)
	st := &selfTest{facts: f, pid: 1, patience: 50 * time.Millisecond}
	if err := st.run(context.Background()); err == nil || !strings.Contains(err.Error(), "not served: waited 50ms") {
		t.Error(err)
	}
	nothingLeft(t, f)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	st = &selfTest{facts: f, pid: 1, patience: time.Minute}
	if err := st.run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	nothingLeft(t, f)
}

func TestChecksAreTheDocumentedJSON(t *testing.T) {
	data, err := json.Marshal(Check{Name: "a.b", Status: Warning, Detail: "d", Mend: "m"})
	must(t, err)
	if got, want := string(data), `{"name":"a.b","status":"warning","detail":"d","mend":"m"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLittleRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		s    space
		want string
	}{
		{space{bytes: 1000 * mib, freeBytes: 101 * mib}, ""},
		{space{bytes: 1000 * mib, freeBytes: 99 * mib}, "disk.space warning 99.0 MiB of 1000.0 MiB"},
		{space{bytes: 100 * mib, freeBytes: 11 * mib}, ""},
		{space{bytes: 100 * mib, freeBytes: 9 * mib}, "disk.space warning 9.0 MiB of 100.0 MiB"},
		{space{bytes: 1e6 * mib, freeBytes: 9999 * mib}, "disk.space warning 9999.0 MiB of 1000000.0 MiB"},
		{space{bytes: 1}, "disk.space failure "},
		{space{bytes: 1, freeBytes: 1, inodes: 50000, freeInodes: 999}, "disk.inodes warning 999 of 50000"},
		{space{bytes: 1, freeBytes: 1, inodes: 50000}, "disk.inodes failure "},
		{space{}, ""},
	} {
		got := ""
		for _, f := range c.s.findings("/x") {
			got += fmt.Sprintf("%s %s %s", f.name, f.status, f.which)
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
}
