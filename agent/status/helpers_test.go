package status

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"spoolagent/agent"
	"spoolagent/internal/agenttest"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// helperEnv makes the test binary do something else, as a process of its own:
// "agent" serves a project, "lock" locks a file. Both say so on stdout, and end
// when stdin does.
const helperEnv = "STATUS_TEST_HELPER"

func TestMain(m *testing.M) {
	ctx, cancel := context.WithCancel(context.Background())
	end := func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}
	switch os.Getenv(helperEnv) {
	case "agent":
		go end()
		if err := agent.Run(ctx, config(os.Args[1], zerolog.New(os.Stdout), "helper", os.Args[2])); err != nil {
			fmt.Println(err)
		}
	case "lock":
		if err := flock.New(os.Args[1]).Lock(); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(`"serving"`)
		end()
	default:
		cancel()
		goleak.VerifyTestMain(m)
	}
}

func config(state string, log zerolog.Logger, version, project string) agent.Config {
	return agent.Config{
		Settings: agent.Settings{Projects: []string{project}, Options: options(), ScanInterval: time.Hour},
		StateDir: state,
		Version:  version,
		Log:      log,
		Notify:   func(string) {},
	}
}

// help starts a helper and waits until it has done what it is there for. kill
// ends it like a power cut would, and may be called twice.
func help(t *testing.T, what string, args ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+what)
	in, err := cmd.StdinPipe()
	agenttest.Must(t, err)
	out, err := cmd.StdoutPipe()
	agenttest.Must(t, err)
	agenttest.Must(t, cmd.Start())
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		in.Close()
		cmd.Wait()
	})
	t.Cleanup(kill)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), `"serving"`) {
			return kill
		}
	}
	t.Fatalf("helper %s ended before it was ready", what)
	return nil
}

// start runs an agent for a project until the test ends, and waits until it
// serves.
func start(t *testing.T, state, project string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx, config(state, zerolog.Nop(), "test", project)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	agenttest.Until(t, "the project is served", func() bool {
		return report(t, Config{StateDir: state, Projects: []string{project}}).Projects[0].State == agent.StateServing
	})
}

// pretend makes it look as if an agent had the lock in a directory, and said this.
func pretend(t *testing.T, dir string, said agent.Holder) {
	t.Helper()
	path := filepath.Join(dir, "agent.lock")
	lock := flock.New(path, flock.SetPermissions(0o600))
	agenttest.Must(t, lock.Lock())
	t.Cleanup(func() { lock.Unlock() })
	data, err := json.Marshal(said)
	agenttest.Must(t, err)
	agenttest.Must(t, os.WriteFile(path, data, 0o600))
}

func options() queue.Options {
	o := queue.DefaultOptions()
	o.Fsync = false
	return o
}

// open opens a project's spool, for as long as the test runs.
func open(t *testing.T, project string) *spoolfiles.Spool {
	t.Helper()
	sp, err := spoolfiles.Create(project)
	agenttest.Must(t, err)
	t.Cleanup(func() { sp.Close() })
	return sp
}

// drop leaves a signal, as a hook does.
func drop(t *testing.T, project, tool string) {
	t.Helper()
	agenttest.Must(t, spoolfiles.Drop(project, signal.Signal{RecordedAt: 1, CWD: project, ToolName: &tool}.AppendLine(nil)))
}

// queued waits until the queue has a signal of this tool.
func queued(t *testing.T, project, tool string) {
	t.Helper()
	agenttest.Until(t, tool+" is queued", func() bool {
		data, err := os.ReadFile(inSpool(project, queue.FileName))
		return err == nil && strings.Contains(string(data), fmt.Sprintf("%q", tool))
	})
}

// request asks for a drain; reply waits for the answer.
func request(t *testing.T, p, id string) {
	t.Helper()
	tmp := inSpool(p, "tmp", id)
	agenttest.Must(t, os.WriteFile(tmp, nil, 0o600))
	agenttest.Must(t, os.Rename(tmp, inSpool(p, "control", id+spoolfiles.RequestSuffix)))
}

func reply(t *testing.T, p, id string) {
	t.Helper()
	agenttest.Until(t, "the request "+id+" is answered", func() bool {
		return agenttest.Exists(inSpool(p, "control", id+spoolfiles.ReplySuffix)) && !agenttest.Exists(inSpool(p, "control", id+spoolfiles.RequestSuffix))
	})
}

func inSpool(project string, path ...string) string {
	return filepath.Join(append([]string{project, spoolfiles.DirName}, path...)...)
}
