package service

import (
	"path/filepath"
	"testing"
)

func TestPassing(t *testing.T) {
	temp := filepath.FromSlash("/home/u/scratch")
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, temp+string(filepath.Separator))
	}
	for path, want := range map[string]bool{
		filepath.Join(temp, "agent"):                           true,
		filepath.Join(temp, "a", "b", "agent"):                 true,
		filepath.FromSlash("/home/u/scratch2/agent"):           false,
		filepath.FromSlash("/home/u/bin/agent"):                false,
		filepath.FromSlash("/home/u/.cache/go-build/ab/agent"): true,
		filepath.FromSlash("/x/go-build123/b001/exe/agent"):    true,
		filepath.FromSlash("/home/u/go/build/agent"):           false,
		"/tmp/agent":                                     true,
		"/private/var/folders/x/agent":                   true,
		"/run/user/1000/agent":                           true,
		"/run/current-system/sw/bin/agent":               false,
		"/proc/1234/exe":                                 true,
		"/home/tmp/agent":                                false,
		`C:\Users\u\AppData\Local\go-build\ab\agent.exe`: true,
	} {
		if got := passing(path); got != want {
			t.Errorf("%s passes: %v", path, got)
		}
	}
}

// What 'go test' builds is temporary.
func TestExecutable(t *testing.T) {
	if path, err := Executable(); err == nil {
		t.Errorf("%s is said to stay", path)
	}
}
