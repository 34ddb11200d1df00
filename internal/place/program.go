package place

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Program is the path of what the service starts, by the one rule, and whether
// that is a copy.
func Program() (path string, copied bool, err error) {
	path, inSystem, err := Self()
	if err != nil {
		return "", false, fmt.Errorf("finding this program: %w", err)
	}
	if inSystem {
		return path, false, nil
	}
	path, err = copyPath()
	return path, true, err
}

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
	self, err := running()
	if err != nil {
		return false
	}
	other, err := os.ReadFile(file)
	return err == nil && bytes.Equal(self, other)
}

// running returns this program, on Linux also if something else is at its path
// by now.
func running() ([]byte, error) {
	if runtime.GOOS == "linux" {
		return os.ReadFile("/proc/self/exe")
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// Put sees to it that what the service starts is this program, and says where
// that is, and whether it had to copy it.
func Put() (program string, copied bool, err error) {
	program, copy, err := Program()
	if err != nil || !copy {
		return program, false, err
	}
	self, err := running()
	if err != nil {
		return "", false, err
	}
	wrote, err := Replace(program, self, 0o755)
	if err != nil && runtime.GOOS == "windows" { // a program that runs can be moved there, but not replaced
		os.Remove(old(program))
		os.Rename(program, old(program))
		if wrote, err = Replace(program, self, 0o755); err != nil {
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
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	os.Remove(filepath.Dir(program)) // both succeed only if they are empty
	os.Remove(filepath.Dir(filepath.Dir(program)))
	return program, removed, err
}

func old(program string) string { return Aside(program) + ".old" }
