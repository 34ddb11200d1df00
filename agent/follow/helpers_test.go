package follow

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

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

// dir makes a fresh directory, by its real name.
func dir(t *testing.T) string {
	t.Helper()
	d, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return d
}

// drop leaves a signal, as a hook does.
func drop(t *testing.T, project, tool string) {
	t.Helper()
	must(t, spoolfiles.Drop(project, signal.Signal{RecordedAt: 1, CWD: project, ToolName: &tool}.AppendLine(nil)))
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	const limit = 30 * time.Second // only met by what is broken
	deadline := time.After(limit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
