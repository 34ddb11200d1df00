package service

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"spoolagent/internal/place"
	"spoolagent/internal/quote"
)

// Program is the path of what the service starts, by the rule of package place:
// this program itself, or the copy that Install makes of it.
func Program() (path string, copied bool, err error) {
	path, inSystem, err := place.Self()
	if err != nil {
		return "", false, fmt.Errorf("finding this program: %w", err)
	}
	if inSystem {
		return path, false, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", false, fmt.Errorf("finding the place of the service's program: %w", err)
	}
	name := Name
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(home, filepath.FromSlash(place.Share), "bin", name), true, nil
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

// putProgram sees to it that what the service starts is this program. It
// returns the copy's path if it made one.
func putProgram() (wrote string, err error) {
	path, copied, err := Program()
	if err != nil || !copied {
		return "", err
	}
	self, err := running()
	if err != nil {
		return "", err
	}
	wrote, err = replace(path, self, 0o755)
	if err != nil && runtime.GOOS == "windows" { // a program that runs can be moved there, but not replaced
		os.Remove(old(path))
		if os.Rename(path, old(path)) == nil {
			wrote, err = replace(path, self, 0o755)
		}
		if err != nil {
			os.Rename(old(path), path)
		}
	}
	return wrote, err
}

// removeProgram removes the copy, and the directories if nothing of the hooks is
// in them. It returns the copy's path if there was one.
func removeProgram() (removed string, err error) {
	path, copied, err := Program()
	if err != nil || !copied {
		return "", err
	}
	os.Remove(aside(path))
	os.Remove(old(path))
	switch err := os.Remove(path); {
	case err == nil:
		removed = path
	case !errors.Is(err, os.ErrNotExist):
		return "", err
	}
	os.Remove(filepath.Dir(path)) // both succeed only if they are empty
	os.Remove(filepath.Dir(filepath.Dir(path)))
	return removed, nil
}

func old(program string) string { return aside(program) + ".old" }

// withoutManager says how else the agent is kept running. It names the program
// by its path, since cron looks for programs in system directories only.
func withoutManager() string {
	program, _ := os.Executable()
	line := "@reboot " + quote.Shell(cmp.Or(program, "agent")) + " run --service"
	return "let cron start the agent, with this line in 'crontab -e': " + strings.ReplaceAll(line, "%", `\%`)
}
