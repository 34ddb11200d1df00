//go:build linux && tools

package hooks

import (
	"os/exec"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// A hook that is tried by hand in a terminal runs as if it were alone.
func TestGitHookByHand(t *testing.T) {
	s, dir := newGitSetup(t)
	path := hook(t, "#!/bin/sh\n[ -t 0 ] && echo a terminal\n", dir, "pre-push")
	install(t, s, gitName, dir)
	cmd := exec.Command(agenttest.Tool(t, "script"), "-qec", "exec .git/hooks/pre-push", "/dev/null")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "a terminal") {
		t.Errorf("%s says %q, %v", path, out, err)
	}
	if got := calls(t, s); got != "" {
		t.Errorf("it was told: %q", got)
	}
}
