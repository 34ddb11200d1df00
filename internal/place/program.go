package place

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

func copyPath() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the place of the service's program: %w", err)
	}
	name := "spool-agent"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(home, filepath.FromSlash(Share), "bin", name), nil
}

// IsThis reports whether a file is this program, or a copy of it.
func IsThis(file string) bool {
	self, _, err := Self()
	ours, oerr := os.ReadFile(self)
	theirs, terr := os.ReadFile(file)
	return errors.Join(err, oerr, terr) == nil && bytes.Equal(ours, theirs)
}

// Put sees to it that what the service starts is this program, and says where
// that is, and whether it had to copy it.
func Put() (program string, copied bool, err error) {
	self, inSystem, err := Self()
	if err != nil || inSystem {
		return self, false, err
	}
	program, err = copyPath()
	if err != nil {
		return "", false, err
	}
	content, err := os.ReadFile(self)
	if err != nil {
		return "", false, err
	}
	wrote, err := Replace(program, content, 0o755)
	if err != nil && runtime.GOOS == "windows" { // a program that runs can be moved there, but not replaced
		os.Remove(old(program))
		os.Rename(program, old(program))
		if wrote, err = Replace(program, content, 0o755); err != nil {
			os.Rename(old(program), program)
		}
	}
	return program, wrote != "", err
}

// Remove removes the copy, and the directories if nothing of the hooks is in
// them: also if this program is in the system, and an earlier one was not. It says
// where the copy was, and whether there was one.
func Remove() (program string, removed bool, err error) {
	program, err = copyPath()
	if err != nil {
		return "", false, err
	}
	os.Remove(Aside(program))
	os.Remove(old(program))
	err = os.Remove(program)
	removed = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	os.Remove(filepath.Dir(program)) // both succeed only if they are empty
	os.Remove(filepath.Dir(filepath.Dir(program)))
	return program, removed, err
}

func old(program string) string { return Aside(program) + ".old" }
