package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPassing(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	temp := filepath.Join(dir, "temp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	hash := strings.Repeat("0123456789abcdef", 4)
	for path, want := range map[string]bool{
		filepath.Join(temp, "agent"):                                 true,
		filepath.Join(temp, "a", "b", "agent"):                       true,
		filepath.Join(dir, "temp2", "agent"):                         false,
		filepath.Join(dir, "..temp", "agent"):                        false,
		filepath.FromSlash("/home/u/bin/agent"):                      false,
		filepath.FromSlash("/home/u/go-builder"):                     false,
		filepath.FromSlash("/home/u/.cache/go-build/b001/exe/agent"): true,
		filepath.FromSlash("/x/go-build123/b001/exe/agent"):          true,
		filepath.FromSlash("/cache/ab/" + hash + "-d/agent"):         true,
		filepath.FromSlash("/cache/ab/" + hash + "/agent"):           false,
	} {
		if got := passing(path, []string{temp}); (got != "") != want {
			t.Errorf("%s: %q", path, got)
		}
	}

	// A temporary directory is known by its other name as well.
	link := filepath.Join(dir, "link")
	if err := os.Symlink(temp, link); err != nil {
		t.Fatal(err)
	}
	if passing(filepath.Join(temp, "agent"), []string{link}) == "" {
		t.Error("a temporary directory behind a link is not known")
	}
}

// What 'go test' builds is temporary.
func TestExecutable(t *testing.T) {
	if path, err := Executable(); err == nil {
		t.Errorf("%s is said to stay", path)
	}
}
