package agenttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is for whatever must happen at all, on the slowest machine.
const patience = 3 * time.Minute

// Until waits for a condition.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Within(t, 5*time.Millisecond, what, ok)
}

// Within is Until for those who measure: it sees the condition come true within
// this time.
func Within(t testing.TB, exact time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(exact)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// Mkdir makes a directory, and those above it.
func Mkdir(t testing.TB, elem ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(elem...), 0o700); err != nil {
		t.Fatal(err)
	}
}

// Write writes a file.
func Write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Read reads a file.
func Read(t testing.TB, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// List returns the names in a directory; none if it does not exist.
func List(t testing.TB, elem ...string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(elem...))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Tool returns the path of a program that a test needs. A machine without it is
// one that the test is not for: see .ci/run for what to install.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; .ci/run installs all that the tests need", err)
	}
	return path
}

// Must ends the test if there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Dir makes a fresh directory, by its path without links.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	Must(t, err)
	return dir
}

// Exists reports whether there is anything at a path, be it a link to nothing.
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
