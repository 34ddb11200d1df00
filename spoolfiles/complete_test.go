package spoolfiles

import (
	"os"
	"path/filepath"
	"testing"
)

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
