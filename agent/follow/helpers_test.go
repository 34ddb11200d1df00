package follow

import (
	"testing"

	"go.uber.org/goleak"

	"spoolagent/internal/agenttest"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() queue.Options {
	o := queue.DefaultOptions()
	o.Fsync = false
	return o
}

// drop leaves a signal, as a hook does.
func drop(t *testing.T, project, tool string) {
	t.Helper()
	agenttest.Must(t, spoolfiles.Drop(project, signal.Signal{RecordedAt: 1, CWD: project, ToolName: &tool}.AppendLine(nil)))
}
