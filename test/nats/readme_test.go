//go:build unix

package nats

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"spoolagent/internal/agenttest"
)

// natsCommand is the command of the README's example.
const natsCommand = "github.com/nats-io/natscli/nats@v0.5.0"

// TestReadme: the README's example brings signals to the broker.
func TestReadme(t *testing.T) {
	s := newStage(t)
	bin := filepath.Join(s.Home, "bin")
	install := exec.Command("go", "install", natsCommand)
	install.Dir = s.Home // outside of any module
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", install, err, out)
	}
	if err := os.Symlink(agenttest.Binary(t), filepath.Join(bin, "agent")); err != nil {
		t.Fatal(err)
	}
	s.Run("--project", s.project)

	_, example, found := strings.Cut(agenttest.Read(t, filepath.Join("..", "..", "README.md")), "```sh\ncat >publish.sh")
	example, _, ends := strings.Cut(example, "```")
	if !found || !ends {
		t.Fatal("the README has no example of a broker")
	}
	follow := s.Command("sh", "-c", "cat >publish.sh"+example)
	follow.Dir = s.project
	follow.Env = append(follow.Env, "PATH="+bin+":"+os.Getenv("PATH"), "NATS_URL="+s.broker)
	var said strings.Builder
	follow.Stdout, follow.Stderr = &said, &said
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	defer follow.Wait()
	defer syscall.Kill(-follow.Process.Pid, syscall.SIGTERM)
	agenttest.Until(t, "there is a stream", func() (ok bool) {
		stream, err := s.js.Stream(t.Context(), streamName)
		s.stream = stream
		return err == nil
	})
	const n = 20
	for i := range n {
		s.drop(fmt.Sprintf("say \"%d\", {{ID}} 'and' $HOME \\n", i))
	}
	s.delivered(n)
	for seq := range uint64(n) {
		msg, err := s.stream.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		var signal struct{ ID, Payload string }
		if err := json.Unmarshal(msg.Data, &signal); err != nil {
			t.Fatalf("not as it was drained: %v: %q", err, msg.Data)
		}
		if want := fmt.Sprintf("say \"%d\", {{ID}} 'and' $HOME \\n", seq); !strings.Contains(signal.Payload, want) || msg.Header.Get("Nats-Msg-Id") != signal.ID {
			t.Errorf("message %d is %q with the header %v", seq, msg.Data, msg.Header)
		}
	}
	if t.Failed() {
		t.Log(said.String())
	}
}
