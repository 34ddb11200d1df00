//go:build unix

package configs

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// eachShell runs a test once with every shell.
func eachShell(t *testing.T, test func(t *testing.T, sh []string)) {
	for _, shell := range agenttest.Shells {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			// By its path, for some tests have no PATH.
			test(t, append([]string{agenttest.Tool(t, shell[0])}, shell[1:]...))
		})
	}
}

// eachHook runs a test once with hook.sh in every shell, and once with spool-hook,
// which does the same.
func eachHook(t *testing.T, test func(t *testing.T, hook []string)) {
	path := script(t, Hook())
	eachShell(t, func(t *testing.T, sh []string) { test(t, slices.Clip(append(sh, path))) })
	t.Run("spool-hook", func(t *testing.T) { test(t, []string{agenttest.Hook(t)}) })
}

// names for projects that trip careless scripts.
var names = []string{
	"plain",
	"-rf",
	" two  spaces ",
	`'quo"tes\`,
	"new\nline\n",
	"Grüße-日本",
	"$(touch x)`touch y`*?[a]",
	"\xff\xfe",
}

// script writes a script's text to a file.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script.sh")
	write(t, path, text)
	return path
}

// command is an exec.Cmd in dir with an environment that has nothing but the
// PATH and what is given.
func command(dir string, argv []string, env ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

// result of a command that ended.
type result struct {
	status         int
	stdout, stderr string
}

func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func mkdir(t *testing.T, elem ...string) string {
	t.Helper()
	dir := filepath.Join(elem...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func checkMode(t *testing.T, want fs.FileMode, elem ...string) {
	t.Helper()
	info, err := os.Lstat(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%s has mode %v, want %v", info.Name(), info.Mode(), want)
	}
}

// bound is a command line that runs argv such that permissions bind it, also
// as root.
func bound(t *testing.T, argv []string) []string {
	t.Helper()
	if os.Getuid() != 0 {
		return argv
	}
	return append([]string{agenttest.Tool(t, "setpriv"), "--bounding-set=-dac_override,-dac_read_search"}, argv...)
}

// feed gives a command text through a pipe, and reports an error if the
// command does not read it to the end.
func feed(t *testing.T, cmd *exec.Cmd, text string) (wait func() error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = r
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(w, strings.NewReader(text))
		w.Close()
		done <- err
	}()
	return func() error {
		r.Close() // else nobody would see that the command has closed its end
		return <-done
	}
}
