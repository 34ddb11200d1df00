//go:build unix && tools

package protocol

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

var interpreted = []language{
	script("dash", ".sh", true, "dash"),
	script("bash", ".sh", true, "bash"),
	script("busybox", ".sh", true, "busybox", "sh"),
	script("python", ".py", false, python()),
	script("node", ".js", false, "node"),
}

// python is the interpreter itself: a python3 may be a script that looks for it.
func python() string {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "python3" // which will be missed
	}
	return strings.TrimSpace(string(out))
}

func TestShellExamplesAreClean(t *testing.T) {
	for _, name := range []string{"drop.sh", "drain.sh"} {
		if out, err := exec.Command(agenttest.Tool(t, "shellcheck"), "-s", "sh", filepath.Join(bin, name)).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
