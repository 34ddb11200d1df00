//go:build unix

package follow

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"spoolagent/internal/agenttest"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// What looks like a dead follower's may be anybody's, and must not keep the
// rest from being delivered.
func TestFollowHostileReplies(t *testing.T) {
	p := agenttest.Dir(t)
	sp, err := spoolfiles.Create(p)
	agenttest.Must(t, err)
	defer sp.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	agenttest.Must(t, os.WriteFile(secret, []byte("{\"recorded_at\":1,\"cwd\":\"/\",\"tool_name\":\"secret\"}\n"), 0o600))
	control := filepath.Join(p, ".spool", "control")
	plant := func(name, content string) {
		agenttest.Must(t, os.WriteFile(filepath.Join(control, name), []byte(content), 0o600))
	}
	plant(".follow-x.lock", "")
	plant("follow-x-1.signals", "{\"cwd\":\"/\",  \"recorded_at\":1,\"tool_name\":\"loose\",\"more\":0}\n")
	plant("follow-x-2.signals", "\x1b[31mred\n{\"recorded_at\":1,\"cwd\":\"/\",\"tool_name\":\"beside\"}\n")
	agenttest.Must(t, os.Symlink(secret, filepath.Join(control, "follow-x-3.signals")))
	agenttest.Must(t, syscall.Mkfifo(filepath.Join(control, "follow-x-4.signals"), 0o600))
	agenttest.Must(t, os.Mkdir(filepath.Join(control, "follow-x-5.signals"), 0o700))
	plant("follow-x-6.drain", "")
	agenttest.Must(t, syscall.Mkfifo(filepath.Join(control, ".follow-y.lock"), 0o600))
	agenttest.Must(t, os.Symlink(secret, filepath.Join(control, ".follow-z.lock")))
	drop(t, p, "good")

	f := followIt(t, p, nil)
	f.has("loose", "beside", "good")
	f.end()
	for _, line := range f.delivered() {
		s, err := signal.ParseLine([]byte(line))
		if err != nil || string(s.AppendLine(nil)) != line {
			t.Errorf("not canonical: %q", line)
		}
		if s.ToolName != nil && *s.ToolName == "secret" {
			t.Error("a link was followed")
		}
	}
	if n := len(f.delivered()); n != 3 {
		t.Errorf("%d signals delivered: %q", n, f.delivered())
	}
	if data, err := os.ReadFile(secret); err != nil || len(data) == 0 {
		t.Errorf("the link's target was touched: %v", err)
	}
	if !strings.Contains(f.reported(), "not a reply") {
		t.Errorf("reported: %s", f.reported())
	}
}
