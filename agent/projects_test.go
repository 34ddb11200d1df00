package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"spoolagent/agent/registry"
)

// at is the registry of an agent with this state directory.
func at(state string) registry.Registry {
	return registry.Registry{Dir: filepath.Join(state, registry.DirName)}
}

// registerNew registers a project, and fails the test if that was no news.
func registerNew(t *testing.T, state, project string) {
	t.Helper()
	_, added, err := at(state).Add(project)
	if err != nil || !added {
		t.Fatalf("registering %s: %v, %v", project, added, err)
	}
}

func gone(t *testing.T, r *running, project string) {
	t.Helper()
	eventually(t, filepath.Base(project)+" is not served any more", func() bool {
		return r.project(project).Project == ""
	})
	if _, served, err := Serving(open(t, project)); served || err != nil {
		t.Errorf("its lock is held: %v, %v", served, err)
	}
}

func TestServesWhatIsRegistered(t *testing.T) {
	state, before, later := dir(t), dir(t), dir(t)
	registerNew(t, state, before)
	r := start(t, Config{User: true, StateDir: state})
	r.until(before, StateServing)
	registerNew(t, state, later)
	r.until(later, StateServing)
	drop(t, later, "x")
	queued(t, later, "x")

	removed, err := at(state).Remove(later)
	if err != nil || len(removed) != 1 {
		t.Fatal(removed, err)
	}
	gone(t, r, later)
	drop(t, later, "y")
	registerNew(t, state, later)
	queued(t, later, "x", "y")
	r.until(before, StateServing)
}

func TestServesWhatPatternsMatch(t *testing.T) {
	top := dir(t)
	code := filepath.Join(top, "code") // is not there yet
	often := Settings{ScanInterval: 50 * time.Millisecond, Options: options(), Patterns: []string{filepath.Join(code, "p*", "sub")}}
	r := start(t, Config{User: true, Load: func() (Settings, error) { return often, nil }})

	first := filepath.Join(code, "p1", "sub")
	must(t, os.MkdirAll(filepath.Join(first, ".spool"), 0o700))
	r.until(first, StateServing)
	second := filepath.Join(code, "p2", "sub")
	must(t, os.MkdirAll(second, 0o700))
	other := filepath.Join(code, "q", "sub")
	drop(t, second, "x") // makes the .spool
	must(t, os.MkdirAll(other, 0o700))
	drop(t, other, "x")
	r.until(second, StateServing)
	queued(t, second, "x")

	// Renamed, it is another project.
	must(t, os.Rename(filepath.Join(code, "p2"), filepath.Join(code, "p3")))
	third := filepath.Join(code, "p3", "sub")
	r.until(third, StateServing)
	drop(t, third, "y")
	queued(t, third, "x", "y")
	eventually(t, "the old name is forgotten", func() bool { return r.project(second).Project == "" })
	if r.project(other).Project != "" {
		t.Error("what does not match is served")
	}
	must(t, os.RemoveAll(code))
	eventually(t, "nothing matches", func() bool { return r.project(first).Project == "" && r.project(third).Project == "" })
	must(t, os.MkdirAll(filepath.Join(first, ".spool"), 0o700))
	r.until(first, StateServing)
}

func TestReload(t *testing.T) {
	p, more, state := dir(t), dir(t), dir(t)
	var settings atomic.Pointer[Settings]
	set := func(limit int, projects ...string) {
		s := Settings{Projects: projects, Options: options(), ScanInterval: time.Hour}
		s.Options.Cap = limit
		settings.Store(&s)
	}
	set(2, p)
	reload := make(chan os.Signal)
	r := start(t, Config{User: true, StateDir: state, Reload: reload, Load: func() (Settings, error) {
		if s := settings.Load(); s != nil {
			return *s, nil
		}
		return Settings{}, errors.New("line 3 is bad")
	}})
	r.until(p, StateServing)
	for _, tool := range []string{"a", "b", "c"} {
		drop(t, p, tool)
	}
	queued(t, p, "b", "c")

	settings.Store(nil)
	reload <- syscall.SIGHUP
	problem := func() string { return user(t, state).Problem }
	eventually(t, "it is reported", func() bool { return problem() == "configuration refused: line 3 is bad" })
	drop(t, p, "d")
	queued(t, p, "c", "d")

	set(3, p, more)
	reload <- syscall.SIGHUP
	r.until(more, StateServing)
	drop(t, p, "e")
	queued(t, p, "c", "d", "e")
	eventually(t, "nothing is wrong", func() bool { return problem() == "" })

	set(3, more)
	reload <- syscall.SIGHUP
	gone(t, r, p)
}

// With the wrong cap a service would evict signals, so it does not begin until
// it knows better.
func TestServiceWaitsForItsSettings(t *testing.T) {
	p, state := dir(t), dir(t)
	registerNew(t, state, p)
	for _, tool := range []string{"a", "b"} {
		drop(t, p, tool)
	}
	var mended atomic.Bool
	reload := make(chan os.Signal)
	load := func() (Settings, error) {
		if !mended.Load() {
			return Settings{}, errors.New("bad")
		}
		s := Settings{Options: options(), ScanInterval: DefaultScanInterval}
		s.Options.Cap = 0
		return s, nil
	}
	if err := start(t, Config{User: true, StateDir: dir(t), Load: load}).wait(); err == nil || err.Error() != "bad" {
		t.Errorf("in the foreground it ended with %v", err)
	}
	r := start(t, Config{User: true, Service: true, StateDir: state, Reload: reload, Load: load})
	eventually(t, "it says so", func() bool {
		return user(t, state).Problem == "configuration refused: bad"
	})
	if names := tools(t, inSpool(p, "distill-pending.queue")); len(names) > 0 {
		t.Errorf("folded: %v", names)
	}
	mended.Store(true)
	reload <- syscall.SIGHUP
	r.until(p, StateServing)
	queued(t, p, "a", "b")
}

func TestOneAgentOfAUser(t *testing.T) {
	p, state := dir(t), dir(t)
	registerNew(t, state, p)
	first := start(t, Config{User: true, StateDir: state})
	first.until(p, StateServing)
	var running *HeldError
	if err := start(t, Config{User: true, StateDir: state}).wait(); !errors.As(err, &running) {
		t.Errorf("the second ended with %v", err)
	}
	waiting := start(t, Config{User: true, Service: true, StateDir: state})
	eventually(t, "it says that it waits", func() bool {
		return strings.Contains(waiting.log.String(), `"waiting"`)
	})
	must(t, first.end())
	waiting.until(p, StateServing)
	drop(t, p, "x")
	queued(t, p, "x")
}

func TestEmptiedStateDirectory(t *testing.T) {
	p, state := dir(t), dir(t)
	registerNew(t, state, p)
	r := start(t, Config{User: true, StateDir: state, Load: func() (Settings, error) {
		return Settings{Projects: []string{p}, Options: options(), ScanInterval: time.Hour}, nil
	}})
	r.until(p, StateServing)
	eventually(t, "the registry is removed", func() bool { return os.RemoveAll(filepath.Join(state, "projects")) == nil })
	other := dir(t)
	eventually(t, "the registry is there again", func() bool { return exists(filepath.Join(state, "projects")) })
	registerNew(t, state, other)
	r.until(other, StateServing)
}
