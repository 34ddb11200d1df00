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
	"spoolagent/configs/hooks"
	"spoolagent/internal/agenttest"
	"spoolagent/internal/place"
	"spoolagent/queue"
	"spoolagent/service"
	"spoolagent/spoolfiles"
)

// sound is a project that nothing is wrong with.
func sound(t testing.TB) string {
	t.Helper()
	p := agenttest.Dir(t)
	sp, err := spoolfiles.Create(p)
	agenttest.Must(t, err)
	agenttest.Must(t, sp.Close())
	return p
}

func in(project string, path ...string) string {
	return filepath.Join(append([]string{project, spoolfiles.DirName}, path...)...)
}

func age(t testing.TB, path string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	agenttest.Must(t, os.Chtimes(path, at, at))
}

// serve does as if an agent served the project, but did nothing.
func serve(t testing.TB, project string) {
	t.Helper()
	lock := flock.New(in(project, "agent.lock"), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	agenttest.Must(t, err)
	if !ok {
		t.Fatal("the project is served already")
	}
	t.Cleanup(func() { lock.Unlock() })
	agenttest.Write(t, in(project, "agent.lock"), `{"pid":1,"version":"test"}`)
}

func facts(t testing.TB, projects ...string) Facts {
	state := filepath.Join(agenttest.Dir(t), "state")
	f := Facts{StateDir: state, Registry: registry.Registry{Dir: filepath.Join(state, "projects")}, Version: "test", Options: queue.DefaultOptions(),
		Hooks: func(context.Context) Hooks { return Hooks{} }}
	report(t, &f, projects...)
	return f
}

// report looks how things are now.
func report(t testing.TB, f *Facts, projects ...string) {
	t.Helper()
	var err error
	f.Status, err = status.Report(t.Context(), status.Config{StateDir: f.StateDir, Projects: projects, Options: f.Options, Version: f.Version})
	agenttest.Must(t, err)
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
		agenttest.Must(t, err)
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
	agenttest.Must(t, err)
	defer sp.Close()
	q := queue.New(sp, queue.DefaultOptions(), nil)
	_, err = sp.Drop([]byte(`{"tool_name":"x"}`))
	agenttest.Must(t, err)
	_, err = q.Take(context.Background(), spoolfiles.NewID())
	agenttest.Must(t, err)
	before := tree(t, p)
	checks := Examine(context.Background(), facts(t, p))
	for _, c := range checks {
		switch subject, _, _ := strings.Cut(c.Name, "."); subject {
		case "project", "spool", "disk":
			if c.Status != OK {
				t.Errorf("%+v", c)
			}
		}
	}
	if diff := cmp.Diff(before, tree(t, p)); diff != "" {
		t.Errorf("the doctor has changed something:\n%s", diff)
	}
	for _, name := range append(names[:], "selftest") {
		if len(named(checks, name)) != 1 {
			t.Errorf("%s is not told", name)
		}
	}
}

// What is wrong with a project is found, told with how to mend it, and left
// as it is.
func TestWhatIsWrongWithAProject(t *testing.T) {
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
		{"gone", func(t *testing.T, p string) { agenttest.Must(t, os.RemoveAll(p)) },
			"project.exists", Warning, "does not exist", "agent remove DIR"},
		{"no spool", func(t *testing.T, p string) { agenttest.Must(t, os.RemoveAll(in(p))) },
			"project.exists", Warning, ".spool", "agent remove DIR"},
		{"the spool is a link", func(t *testing.T, p string) {
			agenttest.Must(t, os.RemoveAll(in(p)))
			agenttest.Must(t, os.Symlink("/etc", in(p)))
		}, "project.served", Failure, "/.spool: ", "ls -la DIR/.spool"},
		{"incoming is a link", func(t *testing.T, p string) {
			agenttest.Must(t, os.RemoveAll(in(p, "incoming")))
			agenttest.Must(t, os.Symlink("/etc", in(p, "incoming")))
		}, "project.served", Failure, "/incoming: ", "ls -la DIR/.spool"},
		{"control is a file", func(t *testing.T, p string) {
			agenttest.Must(t, os.RemoveAll(in(p, "control")))
			agenttest.Write(t, in(p, "control"), "")
		}, "project.served", Failure, "/control: ", "ls -la DIR/.spool"},
		{"another user's spool", func(t *testing.T, p string) { agenttest.Must(t, os.Chown(in(p), 1, 1)) },
			"project.served", Failure, "belongs to user 1", "chown -R 0 DIR/.spool"},
		{"others can write", func(t *testing.T, p string) { agenttest.Must(t, os.Chmod(in(p), 0o770)) },
			"spool.permissions", Warning, "0770", "chmod -R u+rwX,go-rwx DIR/.spool"},
		{"others can write in all of it", func(t *testing.T, p string) {
			for _, d := range []string{in(p), in(p, "tmp"), in(p, "incoming")} {
				agenttest.Must(t, os.Chmod(d, 0o777))
			}
		}, "spool.permissions", Warning, "0777", "chmod -R u+rwX,go-rwx DIR/.spool"},
		{"hooks cannot write", func(t *testing.T, p string) { agenttest.Must(t, os.Chmod(in(p, "incoming"), 0o500)) },
			"spool.permissions", Failure, ".spool/incoming has the permissions 0500", "chmod -R u+rwX,go-rwx DIR/.spool"},
		{"tracked", func(t *testing.T, p string) {
			git(t, p, "init", "-q")
			git(t, p, "add", "-f", ".spool/.gitignore")
		}, "spool.git", Failure, "tracked by git", "git -C DIR rm -r -q --cached .spool"},
		{"tracked, in a project below the repository", func(t *testing.T, p string) {
			git(t, filepath.Dir(p), "init", "-q")
			git(t, filepath.Dir(p), "add", "-f", filepath.Base(p)+"/.spool/.gitignore")
			t.Cleanup(func() { os.RemoveAll(filepath.Join(filepath.Dir(p), ".git")) })
		}, "spool.git", Failure, "tracked by git", "git -C DIR rm"},
		{"drops wait", func(t *testing.T, p string) { agenttest.Write(t, in(p, "incoming", "a.json"), "{}") },
			"spool.waiting", Warning, "a drain: 1", "agent drain --project DIR"},
		{"drops wait for an agent", func(t *testing.T, p string) {
			serve(t, p)
			agenttest.Write(t, in(p, "incoming", "a.json"), "{}")
			age(t, in(p, "incoming", "a.json"), 2*time.Minute)
		}, "spool.waiting", Failure, "although an agent serves", "kill 1 && sleep 3 && agent install"},
		{"evicted", func(t *testing.T, p string) {
			sp, err := spoolfiles.Open(p)
			agenttest.Must(t, err)
			defer sp.Close()
			for range 3 {
				_, err := sp.Drop([]byte(`{"tool_name":"x"}`))
				agenttest.Must(t, err)
			}
			opt := queue.DefaultOptions()
			opt.Cap = 1
			_, err = queue.New(sp, opt, nil).Fold(t.Context())
			agenttest.Must(t, err)
		}, "spool.evicted", Warning, "evicted since the last drain: 2, for the queue keeps 100; connect a consumer", ""},
		{"rejects", func(t *testing.T, p string) { agenttest.Write(t, in(p, "rejected", "a"), "") },
			"spool.rejects", Warning, "beside them: 1", "ls DIR/.spool/rejected"},
		{"a locked queue", func(t *testing.T, p string) {
			lock := flock.New(in(p, queue.FileName), flock.SetPermissions(0o600))
			agenttest.Must(t, lock.Lock())
			t.Cleanup(func() { lock.Unlock() })
		}, "project.served", Failure, "holds the lock", "fuser -v DIR/.spool/" + queue.FileName},
		{"the queue is a link", func(t *testing.T, p string) { agenttest.Must(t, os.Symlink("/etc/passwd", in(p, queue.FileName))) },
			"project.served", Failure, queue.FileName, "ls -la DIR/.spool"},
	} {
		if strings.HasPrefix(c.name, "another user") && os.Geteuid() != 0 {
			continue // see TestRootWhatIsWrongWithAProject
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := sound(t)
			c.make(t, p)
			before := tree(t, p)
			checks := Examine(context.Background(), facts(t, p))
			found := slices.ContainsFunc(named(checks, c.check), func(got Check) bool {
				return got.Status == c.status && strings.Contains(got.Detail, c.detail) &&
					strings.Contains(got.Mend, strings.ReplaceAll(c.mend, "DIR", p)) && got.Project == p
			})
			if !found {
				t.Errorf("want %s, %s: %s (%s), got %+v", c.check, c.status, c.detail, c.mend, named(checks, c.check))
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
	ran := filepath.Join(agenttest.Dir(t), "ran")
	script := filepath.Join(p, "evil.sh")
	agenttest.Must(t, os.WriteFile(script, []byte("#!/bin/sh\n: >'"+ran+"'\n"), 0o700))
	f, err := os.OpenFile(filepath.Join(p, ".git", "config"), os.O_APPEND|os.O_WRONLY, 0)
	agenttest.Must(t, err)
	_, err = fmt.Fprintf(f, "[core]\n\tfsmonitor = %s\n", script)
	agenttest.Must(t, errors.Join(err, f.Close()))
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

// Each has what is wrong with it, however many there are.
func TestManyProjects(t *testing.T) {
	base := agenttest.Dir(t)
	var projects []string
	for i := range 200 {
		p := filepath.Join(base, fmt.Sprintf("p%04d", i))
		if i%2 == 0 {
			agenttest.Must(t, os.MkdirAll(in(p), 0o755))
		}
		projects = append(projects, p)
	}
	checks := Examine(context.Background(), facts(t, projects...))
	gone := named(checks, "project.exists")
	if len(gone) != 100 || gone[99].Project != projects[199] || !strings.Contains(gone[99].Mend, "agent remove "+projects[199]) {
		t.Errorf("%d: %+v", len(gone), gone)
	}
}

// What does not answer is told, and does not hold up the others.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		d := &diagnosis{facts: Facts{Hooks: func(context.Context) Hooks { <-end; return Hooks{} }}}
		d.checkHooks(t.Context())
		want := []Check{{Name: "hooks", Status: Failure, Detail: "no answer within 5s from the settings of the user, or of a project that has hooks", Mend: "agent hooks list"}}
		if !slices.Equal(d.found, want) {
			t.Errorf("%+v", d.found)
		}
	})
}

func TestRegistry(t *testing.T) {
	f := facts(t)
	agenttest.Must(t, os.MkdirAll(f.Registry.Dir, 0o700))
	stray := filepath.Join(f.Registry.Dir, "stray")
	agenttest.Write(t, stray, "no path")
	if c := named(Examine(context.Background(), f), "registry"); len(c) != 1 || c[0].Status != Warning || c[0].Mend != "rm "+stray {
		t.Errorf("%+v", c)
	}
}

func TestAgent(t *testing.T) {
	running := status.Status{Running: true, PID: 1, Version: "old"}
	problem, service := running, running
	problem.Problem = "configuration refused"
	service.Service = true
	for _, c := range []struct {
		s      status.Status
		name   string
		status Level
		detail string
		mend   string
	}{
		{status.Status{}, "agent.running", Failure, "no agent is running", "agent install"},
		{running, "agent.version", Warning, "version old", "kill 1 && sleep 3 && agent install"},
		{service, "agent.version", Warning, "version old", "agent install"},
		{problem, "agent.running", Failure, "refused; fix it", "kill -HUP 1"},
	} {
		f := facts(t)
		f.Status = c.s
		got := named(Known(f), c.name)
		if len(got) != 1 || got[0].Status != c.status || !strings.Contains(got[0].Detail, c.detail) || !strings.HasPrefix(got[0].Mend, c.mend) {
			t.Errorf("want %+v, got %+v", c, got)
		}
	}
}

func TestServiceConfigurationAndHooks(t *testing.T) {
	t.Setenv("HOME", agenttest.Dir(t))
	self, _, err := place.Put()
	agenttest.Must(t, err)
	here, err := os.Executable()
	agenttest.Must(t, err)
	other := filepath.Join(agenttest.Dir(t), "agent")
	agenttest.Write(t, other, "x")
	for _, c := range []struct {
		change func(*service.State)
		status Level
		mend   string
	}{
		{func(*service.State) {}, OK, ""},
		{func(s *service.State) { *s = service.State{Reach: errors.New("no systemd")} }, Warning, ""},
		{func(s *service.State) { s.Installed = false }, Warning, "agent install"},
		{func(s *service.State) { s.Reach, s.Binary = errors.New("no bus"), "" }, Warning, ""},
		{func(s *service.State) { s.Enabled = false }, Warning, "agent install"},
		{func(s *service.State) { s.Running = false }, Failure, "agent start"},
		{func(s *service.State) { s.Linger = service.LingerOff }, Warning, "agent install --linger"},
		{func(s *service.State) { s.Binary = other }, Warning, "agent install"},
		{func(s *service.State) { s.Binary = here }, OK, ""},
		{func(s *service.State) { s.Binary = other + "2" }, Failure, "agent install"},
		{func(s *service.State) { s.Binary = "" }, Failure, "agent install"},
	} {
		f := facts(t)
		f.Service = service.State{Installed: true, Enabled: true, Running: true, Binary: self}
		c.change(&f.Service)
		got := named(Examine(context.Background(), f), "service")
		if len(got) != 1 || got[0].Status != c.status || !strings.HasPrefix(got[0].Mend, c.mend) || c.mend == "" && got[0].Mend != "" {
			t.Errorf("%+v: want %s, %q, got %+v", f.Service, c.status, c.mend, got)
		}
	}

	agenttest.Write(t, self, "an older one")
	f := facts(t)
	f.Service = service.State{Installed: true, Enabled: true, Running: true, Binary: self}
	if got := named(Examine(context.Background(), f), "service"); len(got) != 1 || got[0].Status != Warning || !strings.Contains(got[0].Detail, "is not this program") {
		t.Errorf("the copy is another version: %+v", got)
	}

	f = facts(t)
	f.ConfigErr = errors.New("line 3: unknown key")
	connection := func(tool, project string, s hooks.Status) hooks.Connection {
		return hooks.Connection{Tool: hooks.Tool{Name: tool, Title: tool}, Project: project, Status: s}
	}
	f.Hooks = func(context.Context) Hooks {
		return Hooks{
			Connections: []hooks.Connection{
				connection("a", "", hooks.Status{State: hooks.None}),
				connection("b", "", hooks.Status{State: hooks.Outdated}),
				connection("c", "", hooks.Status{State: hooks.Connected}),
				connection("d", "", hooks.Status{Err: errors.New("broken")}),
				connection("e", "/p", hooks.Status{State: hooks.Outdated}),
				connection("f", "/p", hooks.Status{State: hooks.Outdated}),
				connection("f", "/q", hooks.Status{State: hooks.Outdated}),
				connection("g", "", hooks.Status{State: hooks.Connected}),
			},
			Last: map[string]time.Time{"g": time.Now()},
		}
	}
	var got []string
	for _, c := range Examine(context.Background(), f) {
		if c.Name == "config" || c.Name == "hooks" {
			got = append(got, fmt.Sprintf("%s %s: %s", c.Status, strings.Fields(c.Detail)[0], c.Mend))
		}
	}
	want := []string{
		"failure line: ",
		"warning a: agent hooks install a",
		"warning b: agent hooks install b",
		"warning d's: agent hooks install d",
		"warning e: agent hooks install e --project /p",
		"warning f: agent hooks install f --project /p",
		"warning f: agent hooks install f --project /q",
		"ok g: ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// serving runs an agent for all projects of a user.
func serving(t *testing.T, f *Facts) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.Config{User: true, StateDir: f.StateDir, Registry: f.Registry, Version: "test", Log: zerolog.Nop(), Notify: func(string) {},
			Settings: agent.Settings{Options: f.Options, ScanInterval: agent.DefaultScanInterval}})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	agenttest.Must(t, await(ctx, 30*time.Second, func() (bool, error) {
		report(t, f)
		return f.Status.Running, nil
	}))
}

func TestSelfTest(t *testing.T) {
	f := facts(t)
	if c := SelfTest(t.Context(), f); c.Status != Skipped {
		t.Errorf("no agent runs, but: %+v", c)
	}
	if _, err := os.Lstat(f.StateDir); err == nil {
		t.Error("a state directory was made")
	}
	serving(t, &f)
	if c := named(Examine(context.Background(), f), "agent.running"); c[0].Status != OK {
		t.Errorf("%+v", c)
	}
	// Several at once do not disturb each other.
	done := make(chan Check)
	for range 3 {
		go func() { done <- SelfTest(t.Context(), f) }()
	}
	for range 3 {
		c := <-done
		if c.Status != OK || c.Mend != "" {
			t.Errorf("%+v", c)
		}
		for _, step := range []string{"folded after ", "drained after "} {
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
	agenttest.Must(t, os.MkdirAll(path, 0o700))
	return path
}

func nothingLeft(t *testing.T, f Facts) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(f.StateDir, "doctor*"))
	agenttest.Must(t, err)
	registered, err := f.Registry.List()
	agenttest.Must(t, err)
	if len(left)+len(registered) > 0 {
		t.Errorf("left behind: %v, %v", left, registered)
	}
}

// An agent that does nothing is found out, and an interrupted test leaves
// nothing either.
func TestSelfTestOfAnIdleAgent(t *testing.T) {
	f := facts(t)
	mkdir(t, f.StateDir)
	if _, err := f.selfTest(context.Background(), 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "not folded: waited 50ms") {
		t.Error(err)
	}
	nothingLeft(t, f)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := f.selfTest(ctx, time.Minute); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	nothingLeft(t, f)
}

func TestChecksAreTheDocumentedJSON(t *testing.T) {
	data, err := json.Marshal(Check{Name: "a.b", Status: Warning, Detail: "d", Mend: "m"})
	agenttest.Must(t, err)
	if got, want := string(data), `{"name":"a.b","status":"warning","detail":"d","mend":"m"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The project of a self-test under way is not shown among the others.
func TestScratch(t *testing.T) {
	p := mkdir(t, filepath.Join(agenttest.Dir(t), scratch+"1"))
	if !IsScratch(p) {
		t.Error("one under way is none")
	}
	age(t, p, time.Hour)
	if IsScratch(p) {
		t.Error("one that was left behind is not to be seen")
	}
	if IsScratch(mkdir(t, filepath.Join(agenttest.Dir(t), "code"))) {
		t.Error("another project is one")
	}
}
