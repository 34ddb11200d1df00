//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The transcript in the README is what the commands in it do. What differs
// from run to run is made the same: times, process ids, versions, the place.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "\n```console\n")
	want, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("the README has no transcript")
	}

	// The shell says each command before it does it. A person needs longer to
	// type the next one than an agent needs to start.
	script := "trap 'kill $! 2>/dev/null; wait' EXIT\n"
	for line := range strings.Lines(want) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ ")
		if !ok {
			continue
		}
		script += fmt.Sprintf("cat <<'END'\n$ %s\nEND\n%s\n", command, command)
		if strings.HasSuffix(command, "&") {
			script += "until agent status >/dev/null; do kill -0 $! && sleep 0.02 || exit; done\n"
		}
	}
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "XDG_CONFIG_HOME=" + home, "XDG_STATE_HOME=" + home}
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the shell: %v", err)
	}

	same := func(s string) string {
		s = strings.ReplaceAll(s, home, "/home/u")
		for _, r := range []struct{ varies, same string }{
			{`("recorded_at":)\d+`, "${1}N"},
			{`pid \d+, version [^,]+, since .*`, "pid N, version V, since T"},
			{`service: .*`, "service: S"},
			{`\d+s( ago)?\n`, "Ns$1\n"},
			{` {2,}`, "  "}, // the width of a column
		} {
			s = regexp.MustCompile(r.varies).ReplaceAllString(s, r.same)
		}
		return s
	}
	if diff := cmp.Diff(same(want), same(string(got))); diff != "" {
		t.Errorf("(-README +run):\n%s", diff)
	}
}
