package agent

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

func TestHealsDeletedDirectories(t *testing.T) {
	for _, name := range []string{"tmp", "incoming", "control", "rejected"} {
		t.Run(name, func(t *testing.T) {
			p := dir(t)
			r := start(t, Config{}, p)
			r.until(p, StateServing)
			must(t, os.RemoveAll(inSpool(p, name)))
			eventually(t, "it is there again", func() bool { return exists(inSpool(p, name)) })
			drop(t, p, "after")
			queued(t, p, "after")
			request(t, p, "one")
			reply(t, p, "one")
		})
	}
}

func TestHealsRenamedDirectory(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	must(t, os.Rename(inSpool(p, "incoming"), inSpool(p, "elsewhere")))
	must(t, os.Mkdir(inSpool(p, "incoming"), 0o700))
	drop(t, p, "after")
	queued(t, p, "after")
}

// Who deletes the spool means it: it stays away until somebody makes it anew,
// and nothing of ours hinders the deletion.
func TestDeletedSpoolStaysAway(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	for range 5 {
		r.until(p, StateServing)
		drop(t, p, "x")
		eventually(t, "the drop is folded", func() bool {
			l, err := queue.New(open(t, p), options(), nil).Count(t.Context())
			return err == nil && l.Folded > 0 && l.Queued > 0
		})
		// The fold may still be at its last file.
		eventually(t, "it is removed", func() bool { return os.RemoveAll(inSpool(p)) == nil })
		r.until(p, StateMissing)
		if exists(inSpool(p)) {
			t.Fatal("the spool was made again")
		}
		drop(t, p, "new")
		queued(t, p, "new")
	}
}

func TestReplacedSpool(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	must(t, os.Rename(inSpool(p), filepath.Join(p, "old")))
	drop(t, p, "new")
	queued(t, p, "new")
	r.until(p, StateServing)
}

func TestDeletedProjectComesBack(t *testing.T) {
	p := filepath.Join(dir(t), "deep", "project")
	must(t, os.MkdirAll(p, 0o700))
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	must(t, os.RemoveAll(filepath.Dir(p)))
	if s := r.until(p, StateMissing); !strings.Contains(s.Message, "no such file") {
		t.Errorf("the state says %q", s.Message)
	}
	must(t, os.MkdirAll(p, 0o700))
	drop(t, p, "new")
	queued(t, p, "new")
}

// No event tells that a directory above a watch was renamed.
func TestRenamedAncestors(t *testing.T) {
	for _, name := range []string{"project", "above"} {
		t.Run(name, func(t *testing.T) {
			top := dir(t)
			p := filepath.Join(top, "above", "project")
			moved := map[string]string{"project": p, "above": filepath.Dir(p)}[name]
			must(t, os.MkdirAll(p, 0o700))
			r := start(t, Config{Settings: Settings{ScanInterval: 50 * time.Millisecond}}, p)
			r.until(p, StateServing)
			must(t, os.Rename(moved, moved+"-away"))
			r.until(p, StateMissing)
			must(t, os.MkdirAll(p, 0o700))
			drop(t, p, "new")
			queued(t, p, "new")
			must(t, os.Rename(moved, moved+"-gone"))
			must(t, os.Rename(moved+"-away", moved))
			drop(t, p, "old")
			queued(t, p, "old")
		})
	}
}

// The copy has the times of the original, and no event tells that it took its
// place.
func TestReplacedByACopy(t *testing.T) {
	top := dir(t)
	p, copied := filepath.Join(top, "project"), filepath.Join(top, "copy")
	must(t, os.Mkdir(p, 0o700))
	r := start(t, Config{Settings: Settings{ScanInterval: 50 * time.Millisecond}}, p)
	r.until(p, StateServing)
	drop(t, p, "a")
	queued(t, p, "a")
	if out, err := exec.Command("cp", "-a", p, copied).CombinedOutput(); err != nil {
		t.Skipf("cp -a: %v: %s", err, out)
	}
	must(t, os.Rename(p, p+"-away"))
	must(t, os.Rename(copied, p))
	drop(t, p, "b")
	queued(t, p, "a", "b")
}

// The same directory under two of the agent's paths, one after the other: the
// watch is on the directory, and reports under the old one.
func TestProjectMovedToAnotherPath(t *testing.T) {
	top := dir(t)
	a, b := filepath.Join(top, "a"), filepath.Join(top, "b")
	must(t, os.Mkdir(a, 0o700))
	r := start(t, Config{Settings: Settings{ScanInterval: 50 * time.Millisecond}}, a, b)
	r.until(a, StateServing)
	r.until(b, StateMissing)
	for range 3 {
		must(t, os.Rename(a, b))
		r.until(b, StateServing)
		r.until(a, StateMissing)
		drop(t, b, "x")
		eventually(t, "it is folded", func() bool { return len(tools(t, inSpool(b, "distill-pending.queue"))) > 0 })
		a, b = b, a
		must(t, os.Remove(inSpool(a, "distill-pending.queue")))
	}
}

func TestHostileSpoolHeals(t *testing.T) {
	elsewhere := dir(t)
	must(t, os.WriteFile(filepath.Join(elsewhere, "precious.json"), []byte(`{"tool_name":"x"}`), 0o600))
	evils := map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink(elsewhere, path) },
		"file": func(path string) error { return os.WriteFile(path, nil, 0o600) },
	}
	for what, make := range evils {
		for _, where := range []string{"", "incoming", "control"} {
			t.Run(what+" as .spool/"+where, func(t *testing.T) {
				p := dir(t)
				sp, err := spoolfiles.Create(p)
				must(t, err)
				must(t, sp.Close())
				path := inSpool(p, where)
				must(t, os.RemoveAll(path))
				must(t, make(path))
				r := start(t, Config{}, p)
				if s := r.until(p, StateError); !strings.Contains(s.Message, filepath.Base(path)) {
					t.Errorf("the state says %q", s.Message)
				}
				must(t, os.Remove(path))
				drop(t, p, "after")
				queued(t, p, "after")
				r.until(p, StateServing)
				if !exists(filepath.Join(elsewhere, "precious.json")) {
					t.Error("a drop was taken from elsewhere")
				}
			})
		}
	}
}

func TestHostileLockFile(t *testing.T) {
	p, elsewhere := dir(t), filepath.Join(dir(t), "precious")
	must(t, os.WriteFile(elsewhere, []byte("precious"), 0o600))
	for what, make := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(elsewhere, path) },
		"hard link": func(path string) error { return os.Link(elsewhere, path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(what, func(t *testing.T) {
			sp := open(t, p)
			path := inSpool(p, "agent.lock")
			os.Remove(path)
			must(t, make(path))
			if _, served, err := Serving(sp); served || err != nil && what != "link" {
				t.Errorf("served: %v, %v", served, err)
			}
			r := start(t, Config{}, p)
			r.until(p, StateError)
			must(t, os.Remove(path))
			r.until(p, StateServing)
			must(t, r.end())
			if data, _ := os.ReadFile(elsewhere); string(data) != "precious" {
				t.Errorf("written to another's file: %q", data)
			}
		})
	}
}

func TestUnwritableSpoolHeals(t *testing.T) {
	const bound = "SPOOL_TEST_BOUND"
	if os.Geteuid() == 0 && os.Getenv(bound) == "" {
		// Root may write everywhere, but for one without these capabilities.
		cmd := exec.Command("setpriv", "--bounding-set=-dac_override,-dac_read_search",
			os.Args[0], "-test.run=^TestUnwritableSpoolHeals$", "-test.count=1")
		cmd.Env = append(os.Environ(), bound+"=yes")
		out, err := cmd.CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip("as root, permissions do not bind without setpriv")
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	must(t, os.Chmod(inSpool(p), 0o500))
	drop(t, p, "a")
	r.until(p, StateError)
	must(t, os.Chmod(inSpool(p), 0o700))
	drop(t, p, "b")
	queued(t, p, "a", "b")
	r.until(p, StateServing)
}
