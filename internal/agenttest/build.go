//go:build unix

package agenttest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// goEnv is the environment of the go command: that of the test's start, since
// with another HOME it would have another cache.
var goEnv = append(os.Environ(), "CGO_ENABLED=0")

// Binary returns the path of the agent, built as the Makefile builds it, but for
// -trimpath, which would have each package compiled once more. The test packages of a checkout share one file in the temporary directory: the
// first one builds it, and the go command sees that the others need not.
func Binary(t testing.TB) string {
	t.Helper()
	return built(t, agent)
}

// Hook is Binary for spool-hook.
func Hook(t testing.TB) string {
	t.Helper()
	return built(t, hook)
}

func built(t testing.TB, binary func() (string, error)) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("building the program: %v", err)
	}
	return path
}

var (
	agent = sync.OnceValues(func() (string, error) { return buildOnce("agent") })
	hook  = sync.OnceValues(func() (string, error) { return buildOnce("spool-hook") })
)

func buildOnce(name string) (string, error) {
	top, err := moduleDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("spool-agent-test-%d-%x", os.Getuid(), sha256.Sum256([]byte(top)))[:40])
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if st := info.Sys().(*syscall.Stat_t); !info.IsDir() || int(st.Uid) != os.Getuid() || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("%s is somebody else's", dir)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	path := filepath.Join(dir, name)
	return path, build(top, path, "./cmd/"+name, "-ldflags=-s -w")
}

// Build builds a Go program without cgo: a package of this module, as
// "./cmd/agent", or a file, by its absolute path.
func Build(path, what string, flags ...string) error {
	top, err := moduleDir()
	if err == nil {
		err = build(top, path, what, flags...)
	}
	if err != nil {
		return fmt.Errorf("building %s: %w", what, err)
	}
	return nil
}

func build(top, path, what string, flags ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", path}, flags...), what)...)
	cmd.Dir, cmd.Env = top, goEnv
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// moduleDir is the top of the checkout: the nearest directory upwards with this
// package in it. go test runs tests in their package's directory.
func moduleDir() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "internal", "agenttest", "build.go")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in a checkout of this module", wd)
		}
	}
}
