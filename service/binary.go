package service

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"spoolagent/internal/quote"
)

// Executable is the path of this program that a service can go on starting:
// as the user called it, so that a link in the PATH, which a package manager
// lets point to each new version, stays a link; but never one that goes away
// by itself.
func Executable() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	running := path
	if runtime.GOOS == "linux" {
		running = "/proc/self/exe" // also if something else is at its path by now
	}
	self, err := os.Stat(running)
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	isSelf := func(path string) bool {
		fi, err := os.Stat(path)
		return err == nil && os.SameFile(fi, self)
	}
	if called, err := exec.LookPath(os.Args[0]); err == nil {
		if called, err := filepath.Abs(called); err == nil && isSelf(called) && lasts(called) {
			path = called
		}
	}
	if !isSelf(path) {
		return "", fmt.Errorf("this program is not at %s any more, it has been deleted or replaced: run the one that the service is to start", path)
	}
	if !lasts(path) {
		return "", fmt.Errorf("%s is in a directory for temporary files, and a service needs a program that stays; copy it to ~/.local/bin, say, and run 'agent install' from there", path)
	}
	return path, nil
}

// lasts reports whether a program stays where it is, also if path is a link.
func lasts(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && !passing(path) && !passing(real)
}

// passing reports whether path is in a directory for temporary files, or where
// 'go run' and 'go test' build.
func passing(path string) bool {
	temporary := regexp.MustCompile(`^(/private)?/(tmp|var/tmp|var/folders|dev/shm|run/user|proc)/|[/\\]go-build`)
	return temporary.MatchString(path) || strings.HasPrefix(path, filepath.Clean(os.TempDir())+string(filepath.Separator))
}

// withoutManager says how else the agent is kept running. It names the program
// by its path, since cron looks for programs in system directories only.
func withoutManager() string {
	program, _ := os.Executable()
	line := "@reboot " + quote.Shell(cmp.Or(program, "agent")) + " run --service"
	return "let cron start the agent, with this line in 'crontab -e': " + strings.ReplaceAll(line, "%", `\%`)
}
