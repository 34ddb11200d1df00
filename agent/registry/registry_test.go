package registry

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spoolagent/spoolfiles"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dir makes a fresh directory, by its real name.
func dir(t *testing.T) string {
	t.Helper()
	d, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return d
}

// paths are what is registered.
func (r Registry) paths(t *testing.T) (paths []string) {
	t.Helper()
	all, err := r.List()
	must(t, err)
	for _, e := range all {
		must(t, e.Err)
		paths = append(paths, e.Path)
	}
	return paths
}

// drop is what the first drop of a project does to the registry.
func (r Registry) drop(t *testing.T, project string) {
	t.Helper()
	sp, err := spoolfiles.Create(project)
	must(t, err)
	defer sp.Close()
	_, err = r.AddSpool(sp, true)
	must(t, err)
}

func TestAddsOnce(t *testing.T) {
	r, p := Registry{Dir: filepath.Join(dir(t), DirName)}, dir(t)
	if _, added, err := r.Add(p); !added || err != nil {
		t.Errorf("at first: %v, %v", added, err)
	}
	if _, added, err := r.Add(p + "/."); added || err != nil {
		t.Errorf("again: %v, %v", added, err)
	}
	must(t, os.WriteFile(filepath.Join(r.Dir, "another-name"), []byte(p), 0o600))
	all, err := r.List()
	must(t, err)
	if len(all) != 1 || all[0].Path != p {
		t.Errorf("registered: %+v", all)
	}
	link := filepath.Join(dir(t), "link")
	must(t, os.Symlink(p, link))
	if removed, err := r.Remove(link); !slices.Equal(removed, []string{p}) || err != nil {
		t.Errorf("removed by another name: %v, %v", removed, err)
	}
	if paths := r.paths(t); len(paths) != 0 {
		t.Errorf("still registered: %v", paths)
	}
	if _, _, err := r.Add("relative"); err == nil {
		t.Error("a relative path was registered")
	}
}

// What was registered at the old place is found at the new one, under its name.
func TestMovesWhatIsAtTheOldPlace(t *testing.T) {
	top := dir(t)
	r := Registry{Dir: filepath.Join(top, "new", DirName), Old: filepath.Join(top, "old", DirName)}
	must(t, os.MkdirAll(r.Old, 0o700))
	must(t, os.WriteFile(filepath.Join(r.Old, "a"), []byte("/a\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(r.Old, ".b"), []byte("/b"), 0o600))
	if paths := r.paths(t); !slices.Equal(paths, []string{"/a"}) {
		t.Errorf("while there is no new place: %v", paths)
	}
	_, _, err := r.Add("/c")
	must(t, err)
	for range 2 {
		if paths := r.paths(t); !slices.Equal(paths, []string{"/a", "/c"}) {
			t.Errorf("registered: %v", paths)
		}
	}
	if data, err := os.ReadFile(filepath.Join(r.Dir, "a")); err != nil || string(data) != "/a\n" {
		t.Errorf("moved: %q, %v", data, err)
	}
	left, err := os.ReadDir(r.Old)
	must(t, err)
	if len(left) != 1 || left[0].Name() != ".b" {
		t.Errorf("left at the old place: %v", left)
	}
}

func TestMarks(t *testing.T) {
	top := dir(t)
	r := Registry{Dir: filepath.Join(top, "state", DirName)}
	p := filepath.Join(top, "project")
	must(t, os.Mkdir(p, 0o700))
	mark := filepath.Join(p, ".spool", markName)
	registered := func(want ...string) {
		t.Helper()
		if got := r.paths(t); !slices.Equal(got, want) {
			t.Errorf("registered: %v, not %v", got, want)
		}
	}
	forget := func() {
		t.Helper()
		must(t, os.RemoveAll(r.Dir))
		must(t, os.Mkdir(r.Dir, 0o700))
	}

	r.drop(t, p)
	registered(p)
	file, err := os.Readlink(mark)
	if err != nil || filepath.Dir(file) != r.Dir {
		t.Errorf("the mark leads to %s, %v", file, err)
	}

	// A power cut has emptied the registration, or it is gone.
	must(t, os.Truncate(file, 0))
	must(t, os.Rename(file, filepath.Join(r.Dir, "torn")))
	must(t, os.Symlink(filepath.Join(r.Dir, "torn"), mark+"2"))
	must(t, os.Rename(mark+"2", mark))
	r.drop(t, p)
	must(t, os.Remove(filepath.Join(r.Dir, "torn")))
	registered(p)
	forget()
	r.drop(t, p)
	registered(p)

	// A link to anything but a registration does not count, such as the one to
	// the spool's own tmp that hooks of earlier versions make.
	must(t, os.Remove(mark))
	must(t, os.Symlink(filepath.Join(p, ".spool", "tmp"), mark))
	forget()
	r.drop(t, p)
	registered(p)
	forget()

	// Elsewhere it does not count; nor does that of a file, as where there are no links.
	moved := filepath.Join(top, "moved")
	must(t, os.Rename(p, moved))
	r.drop(t, moved)
	registered(moved)
	must(t, os.Remove(filepath.Join(moved, ".spool", markName)))
	must(t, os.WriteFile(filepath.Join(moved, ".spool", markName), []byte(moved+"\n"), 0o600))
	forget()
	r.drop(t, moved)
	registered()
	must(t, os.Rename(moved, p))
	r.drop(t, p)
	registered(p)

	// The user's word is the last.
	removed, err := r.Remove(p)
	if !slices.Equal(removed, []string{p}) || err != nil {
		t.Errorf("removed: %v, %v", removed, err)
	}
	r.drop(t, p)
	registered()
	if info, err := os.Lstat(mark); err != nil || !info.Mode().IsRegular() || info.Size() != 0 {
		t.Errorf("the mark is no empty file: %v, %v", info, err)
	}
	sp, err := spoolfiles.Open(p)
	must(t, err)
	defer sp.Close()
	if added, err := r.AddSpool(sp, false); !added || err != nil {
		t.Errorf("added by the user: %v, %v", added, err)
	}
	r.drop(t, p)
	registered(p)
}

// Nothing is read through a link that anybody has put into a spool.
func TestHostileMarks(t *testing.T) {
	top := dir(t)
	r := Registry{Dir: filepath.Join(top, "state", DirName)}
	p := filepath.Join(top, "project")
	must(t, os.Mkdir(p, 0o700))
	mark := filepath.Join(p, ".spool", markName)
	claim := filepath.Join(top, "claim")
	must(t, os.WriteFile(claim, []byte(p+"\n"), 0o600))
	for _, target := range []string{claim, "/dev/zero", filepath.Join(r.Dir, "..", "claim"), filepath.Join(r.Dir, "."), mark, ""} {
		r.drop(t, p)
		must(t, os.RemoveAll(r.Dir))
		must(t, os.Remove(mark))
		if target == "" {
			must(t, os.Mkdir(mark, 0o700))
		} else {
			must(t, os.Symlink(target, mark))
		}
		sp, err := spoolfiles.Open(p)
		must(t, err)
		r.AddSpool(sp, true)
		must(t, sp.Close())
		if paths := r.paths(t); !slices.Equal(paths, []string{p}) {
			t.Errorf("with a mark that leads to %s: %v", target, paths)
		}
		if data, err := os.ReadFile(claim); err != nil || strings.TrimSpace(string(data)) != p {
			t.Errorf("a file elsewhere was changed: %q, %v", data, err)
		}
	}
}
