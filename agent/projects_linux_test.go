package agent

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is in the registry is anybody's guess; what is wrong with a file in it
// concerns no other.
func TestHostileRegistry(t *testing.T) {
	state, p := dir(t), dir(t)
	registerNew(t, state, p)
	reg := filepath.Join(state, "projects")
	strange := filepath.Join(dir(t), "a\nb \xff \x1b[31m")
	must(t, os.Mkdir(strange, 0o700))
	for name, text := range map[string]string{
		"empty": "", "relative": "some/where\n", "zero": "/a\x00b\n", "feeds": "\n\n", "huge": strings.Repeat("/x", 1<<20),
		"strange": strange + "\n", ".dot": "/hidden",
	} {
		must(t, os.WriteFile(filepath.Join(reg, name), []byte(text), 0o600))
	}
	must(t, syscall.Mkfifo(filepath.Join(reg, "fifo"), 0o600))
	must(t, os.Symlink("/etc/passwd", filepath.Join(reg, "link")))
	must(t, os.Mkdir(filepath.Join(reg, "directory"), 0o700))

	all, err := at(state).List()
	must(t, err)
	bad := 0
	for _, reg := range all {
		if reg.Err != nil {
			bad++
			if !strings.Contains(reg.Err.Error(), reg.File) {
				t.Errorf("the error does not name the file: %v", reg.Err)
			}
		}
	}
	if bad != 8 || len(all) != 10 {
		t.Errorf("%d registrations, %d of them bad: %+v", len(all), bad, all)
	}
	r := start(t, Config{User: true, StateDir: state})
	r.until(p, StateServing)
	drop(t, strange, "x")
	queued(t, strange, "x")
	if !strings.Contains(r.log.String(), "not an absolute path") || strings.Contains(r.log.String(), "\x1b[31m") {
		t.Errorf("the log: %s", r.log)
	}
}

// removeOnly removes the registration of exactly this name.
func removeOnly(t *testing.T, state, name string) {
	t.Helper()
	all, err := at(state).List()
	must(t, err)
	for _, reg := range all {
		if reg.Path == name {
			must(t, os.Remove(reg.File))
		}
	}
}
