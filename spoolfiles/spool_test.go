package spoolfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// OpenExisting makes nothing, lists what is missing as empty, and can be completed.
func TestOpenExisting(t *testing.T) {
	p := t.TempDir()
	if _, err := OpenExisting(p); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("there is no spool, but: %v", err)
	}
	root := filepath.Join(p, DirName)
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	sp, err := OpenExisting(p)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	drops, derr := sp.CountDrops()
	rejects, rerr := sp.CountRejects()
	c, cerr := sp.ScanControl()
	if err := errors.Join(derr, rerr, cerr); err != nil || drops+rejects+len(c.Requests)+len(c.Replies) != 0 {
		t.Errorf("%d drops, %d rejects, %+v, %v", drops, rejects, c, err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("it has made %v (%v)", left, err)
	}
	if !sp.Stale() {
		t.Error("without its directories it cannot be used, and so is stale")
	}
	if err := sp.Complete(); err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Drop([]byte("{}")); err != nil {
		t.Error(err)
	}
	if n, err := sp.CountDrops(); n != 1 || err != nil {
		t.Errorf("%d drops, %v", n, err)
	}
	if sp.Stale() {
		t.Error("it is complete, but stale")
	}
}

// Whoever made the .spool, the signals in it do not come into a repository; but
// a .gitignore that somebody has changed, or done away with later, is theirs.
func TestCompleteIgnores(t *testing.T) {
	project := t.TempDir()
	ignore := filepath.Join(project, DirName, ".gitignore")
	if err := os.Mkdir(filepath.Join(project, DirName), 0o700); err != nil {
		t.Fatal(err)
	}
	open := func() {
		t.Helper()
		s, err := Open(project)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want string) {
		t.Helper()
		got, err := os.ReadFile(ignore)
		if err != nil || string(got) != want {
			t.Errorf(".gitignore: %q, %v; want %q", got, err, want)
		}
	}

	open()
	check("*\n")
	if err := os.WriteFile(ignore, []byte("tmp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(project, DirName, "rejected")); err != nil {
		t.Fatal(err)
	}
	open()
	check("tmp\n")
	if err := os.Remove(ignore); err != nil {
		t.Fatal(err)
	}
	open()
	if _, err := os.Lstat(ignore); !os.IsNotExist(err) {
		t.Errorf("a .gitignore that was removed is back (%v)", err)
	}
}

func newSpool(t *testing.T) *Spool {
	t.Helper()
	s, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDrop(t *testing.T) {
	p := t.TempDir()
	must(t, Drop(p, []byte("one"))) // makes the spool
	must(t, Drop(p, []byte("two")))
	s, err := OpenExisting(p)
	must(t, err)
	defer s.Close()
	drops, err := s.ListDrops()
	must(t, err)
	if len(drops) != 2 {
		t.Fatalf("%d drops", len(drops))
	}
	for i, want := range []string{"one", "two"} {
		if data, _, err := ReadDrop(s.Incoming, drops[i].Name, 3); err != nil || string(data) != want {
			t.Errorf("%q, %v", data, err)
		}
	}
	if left, err := s.Tmp.List(); len(left) > 0 || err != nil {
		t.Errorf("left in tmp: %q, %v", left, err)
	}
}

func TestDropSource(t *testing.T) {
	for name, want := range map[string]string{
		"1-2-3.json": "", "1-2-3.claude.json": "claude", "a.b.gemini-cli.json": "gemini-cli", ".x.json": "x", "x.claude.jsonl": "",
		"x..json": "", "x.Claude.json": "", "x.a_b.json": "", "x.1.json": "1", ".json": "", "json": "", "": "",
		"x.a2345678901234567890123456789012.json": "a2345678901234567890123456789012", "x.a23456789012345678901234567890123.json": "",
	} {
		if got := DropSource(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, source := range []string{"", "claude", "x-1"} {
		name, err := NewDropName(source)
		if err != nil || DropSource(name) != source || !IsDropName(name) {
			t.Errorf("%q: %q, %v", source, name, err)
		}
	}
	for _, source := range []string{"Claude", "a/b", ".", "a.b", "a2345678901234567890123456789012x"} {
		if name, err := NewDropName(source); err == nil {
			t.Errorf("%q was accepted: %q", source, name)
		}
	}
}

// The spool, or a directory in it, may go or be replaced while it is open.
func TestStale(t *testing.T) {
	for _, name := range []string{"", "tmp", "incoming", "work", "control", "rejected"} {
		s := newSpool(t)
		if s.Stale() {
			t.Fatal("stale from the start")
		}
		path := filepath.Join(s.Root.Path(), name)
		must(t, os.Rename(path, path+".aside"))
		if !s.Stale() {
			t.Errorf("%q was moved, and the spool is not stale", name)
		}
		must(t, os.Mkdir(path, 0o700))
		if s.Stale() != (name == "") {
			t.Errorf("%q was replaced, and the spool is stale: %v", name, s.Stale())
		}
	}
}
