package place

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "deep", "er", "some.service")
	put := func(content string, wantChange bool) {
		t.Helper()
		wrote, err := Replace(file, []byte(content), 0o644)
		if err != nil || (wrote == file) != wantChange {
			t.Fatalf("wrote %q, %v", wrote, err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != content {
			t.Fatalf("is %q, %v", got, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
			t.Fatalf("there is more than the definition: %v", left)
		}
	}
	put("one", true)
	put("one", false)
	put("two", true)

	// An installer was killed.
	if err := os.WriteFile(Aside(file), []byte("ha"), 0o600); err != nil {
		t.Fatal(err)
	}
	put("three", true)

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, file); err != nil {
		t.Fatal(err)
	}
	if _, err := Replace(file, []byte("four"), 0o644); err == nil {
		t.Error("somebody's link is replaced")
	}
	if got, _ := os.ReadFile(elsewhere); string(got) != "mine" {
		t.Error("what a link points to is overwritten")
	}
}
