package place

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
	path, err := copyPath()
	if dir := filepath.Join(home, ".local", "share", "spool-agent", "bin"); err != nil || filepath.Dir(path) != dir {
		t.Fatalf("the service would start %s, %v", path, err)
	}
	put := func(want bool) {
		t.Helper()
		if program, copied, err := Put(); err != nil || program != path || copied != want {
			t.Fatalf("is %s, copied %v, want %v: %v", program, copied, want, err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode()&0o100 == 0 && filepath.Ext(path) == "" {
			t.Errorf("cannot be started: %v, %v", fi, err)
		}
		if !IsThis(path) {
			t.Error("the copy is another program")
		}
	}
	put(true)
	put(false)
	if err := os.WriteFile(path, []byte("an older one"), 0o700); err != nil {
		t.Fatal(err)
	}
	if IsThis(path) {
		t.Error("another program is taken for this one")
	}
	put(true)

	hook := filepath.Join(filepath.Dir(path), "spool-hook")
	if err := os.WriteFile(hook, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if _, removed, err := Remove(); err != nil || removed != want {
			t.Errorf("removed %v, want %v: %v", removed, want, err)
		}
	}
	if _, err := os.Stat(hook); err != nil {
		t.Error("the hooks' program is gone: ", err)
	}

	if err := os.Symlink(hook, path); err != nil {
		t.Fatal(err)
	}
	if _, copied, err := Put(); err == nil {
		t.Errorf("somebody's link is replaced: %v", copied)
	}
	for _, file := range []string{path, hook} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	Remove()
	if _, err := os.Lstat(filepath.Join(home, ".local", "share", "spool-agent")); !os.IsNotExist(err) {
		t.Error("directories are left: ", err)
	}
}
