package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Executable is the path of this program that a service can go on starting:
// as the user called it, so that a link in the PATH, which a package manager
// lets point to each new version, stays a link; but never one that goes away
// by itself.
func Executable() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	running, err := os.Stat(runningBinary(self))
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	path := self
	if called, err := exec.LookPath(os.Args[0]); err == nil || errors.Is(err, exec.ErrDot) {
		if called, err := filepath.Abs(called); err == nil && lasts(called) == nil && isFile(called, running) {
			path = called
		}
	}
	if !isFile(path, running) {
		return "", fmt.Errorf("this program is not at %s any more, it has been deleted or replaced: run the one that the service is to start", path)
	}
	if err := lasts(path); err != nil {
		return "", err
	}
	return path, nil
}

func isFile(path string, is os.FileInfo) bool {
	fi, err := os.Stat(path)
	return err == nil && os.SameFile(fi, is)
}

// runningBinary is a path for the file that this process runs, also if that
// has been replaced since.
func runningBinary(self string) string {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	return self
}

// runs reports whether a process runs what is at path now. It is not known
// where the system does not show what a process runs.
func runs(pid int, path string) (same, known bool) {
	if runtime.GOOS != "linux" || pid == 0 {
		return false, false
	}
	exe, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false, false
	}
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, true
	}
	return os.SameFile(exe, fi), err == nil
}

// lasts returns an error if what is at path will not stay there.
func lasts(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	for _, p := range []string{path, real} {
		if why := passing(p, temporaryDirs()); why != "" {
			return fmt.Errorf("%s is %s, and a service needs a program that stays; copy it to ~/.local/bin, say, and run 'agent install' from there", p, why)
		}
	}
	return nil
}

// temporaryDirs are the directories that are emptied now and then.
func temporaryDirs() []string {
	dirs := []string{os.TempDir()}
	if runtime.GOOS != "windows" {
		dirs = append(dirs, "/tmp", "/var/tmp", "/run/user", "/dev/shm", "/proc", "/private/tmp", "/private/var/tmp")
	}
	for _, variable := range []string{"XDG_RUNTIME_DIR", "GOTMPDIR"} {
		if dir := os.Getenv(variable); filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// passing says what keeps path from lasting; nothing if it lasts.
func passing(path string, temporary []string) string {
	for _, part := range strings.Split(filepath.Dir(path), string(filepath.Separator)) {
		// 'go run' and 'go test' build there, and 'go run' caches there.
		if strings.HasPrefix(part, "go-build") || cacheEntry(part) {
			return "made by 'go run' for this once"
		}
	}
	for _, dir := range temporary {
		if real, err := filepath.EvalSymlinks(dir); err == nil && within(path, real) || within(path, dir) {
			return "in the temporary directory " + dir
		}
	}
	return ""
}

// cacheEntry reports whether a directory is one in which the Go command keeps
// the programs that 'go run' has built: a hash, and -d.
func cacheEntry(name string) bool {
	hash, ok := strings.CutSuffix(name, "-d")
	return ok && len(hash) == 64 && strings.Trim(hash, "0123456789abcdef") == ""
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
