package service

import (
	"os"
	"path/filepath"
	"testing"
)

// What 'go test' builds goes away, so the service gets a copy: whole, replaced
// at once, never through a link, and removed without the hooks' program.
func TestProgram(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	path, copied, err := Program()
	if dir := filepath.Join(home, ".local", "share", "spool-agent", "bin"); err != nil || !copied || filepath.Dir(path) != dir {
		t.Fatalf("the service would start %s, %v, %v", path, copied, err)
	}
	put := func(want string) {
		t.Helper()
		if wrote, err := putProgram(); err != nil || wrote != want {
			t.Fatalf("wrote %q, want %q: %v", wrote, want, err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode()&0o100 == 0 && filepath.Ext(path) == "" {
			t.Errorf("cannot be started: %v, %v", fi, err)
		}
		if !IsThis(path) {
			t.Error("the copy is another program")
		}
	}
	put(path)
	put("")
	if err := os.WriteFile(path, []byte("an older one"), 0o700); err != nil {
		t.Fatal(err)
	}
	if IsThis(path) {
		t.Error("another program is taken for this one")
	}
	put(path)

	hook := filepath.Join(filepath.Dir(path), "spool-hook")
	if err := os.WriteFile(hook, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{path, ""} {
		if removed, err := removeProgram(); err != nil || removed != want {
			t.Errorf("removed %q, want %q: %v", removed, want, err)
		}
	}
	if _, err := os.Stat(hook); err != nil {
		t.Error("the hooks' program is gone: ", err)
	}

	if err := os.Symlink(hook, path); err != nil {
		t.Fatal(err)
	}
	if wrote, err := putProgram(); err == nil {
		t.Errorf("somebody's link is replaced: wrote %q", wrote)
	}
	for _, file := range []string{path, hook} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	removeProgram()
	if _, err := os.Lstat(filepath.Join(home, ".local", "share", "spool-agent")); !os.IsNotExist(err) {
		t.Error("directories are left: ", err)
	}
}
