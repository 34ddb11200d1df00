//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"spoolagent/configs"
	"spoolagent/internal/agenttest"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

func goDrop(b *testing.B, dir string) {
	tool, payload := "Bash", strings.Repeat("a payload of some length; ", 10)
	s := signal.Signal{RecordedAt: 1763852400, ToolName: &tool, CWD: "/home/u/repo", Payload: &payload}
	line := s.AppendLine(nil)
	// A floor works in the same directories as what stands on it, for in some a
	// file takes longer to make than in others.
	u := agenttest.NewUserIn(b, dir)
	project := u.Project("project")
	tmp, incoming := spool(project, "tmp"), spool(project, "incoming")
	n := 0
	m := inTurns(times(10000, 1000),
		func() time.Duration {
			start := time.Now()
			err := spoolfiles.Drop(project, s.AppendLine(nil))
			took := time.Since(start)
			if err != nil {
				b.Fatal(err)
			}
			return took
		},
		func() time.Duration {
			n++
			name := fmt.Sprintf("/1763852400000000000-12345-%013d.json", n)
			start := time.Now()
			err := bareDrop(tmp+name, incoming+name, line)
			took := time.Since(start)
			if err != nil {
				b.Fatal(err)
			}
			return took
		})
	atMost("a drop from Go (create+write+close+rename)", m[0], m[1], 1.5)
}

func spool(project, dir string) string { return filepath.Join(project, ".spool", dir) }

func bareDrop(tmp, incoming string, data []byte) error {
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(tmp, incoming)
}

func shellHook(b *testing.B, dir string) {
	hook, bare := filepath.Join(dir, "hook.sh"), filepath.Join(dir, "bare.sh")
	agenttest.Write(b, hook, configs.Hook())
	agenttest.Write(b, bare, `cat >"$1" && mv "$1" "$2"`)
	u := agenttest.NewUserIn(b, dir)
	project := u.Project("project")
	tmp, incoming := spool(project, "tmp"), spool(project, "incoming")
	u.Env = []string{"CLAUDE_PROJECT_DIR=" + project}
	theHook := func() *exec.Cmd { return u.Command("sh", hook) }
	n := 0
	m := inTurns(times(500, 50),
		func() time.Duration { return run(b, theHook(), event) },
		func() time.Duration {
			n++
			name := fmt.Sprintf("/%d.json", n)
			return run(b, u.Command("sh", bare, tmp+name, incoming+name), event)
		})
	atMost("the shell hook (sh with cat and mv)", m[0], m[1], 1.25)

	const atOnce = 16
	before := len(agenttest.List(b, incoming))
	rounds := times(100, 10)
	failed := 0
	for range rounds {
		var all sync.WaitGroup
		results := make([]error, atOnce)
		for i := range results {
			all.Go(func() { results[i] = quiet(theHook(), event) })
		}
		all.Wait()
		for _, err := range results {
			if err != nil {
				failed++
			}
		}
	}
	failed = max(failed, rounds*atOnce-(len(agenttest.List(b, incoming))-before))
	result := "ok"
	if failed > 0 {
		result = "MISSED"
	}
	printRow("  16 at once", "", "", fmt.Sprintf("%d of %d", failed, rounds*atOnce), "none fails", result)
}

func agentDrop(b *testing.B, dir string) {
	agenttest.Write(b, filepath.Join(dir, "empty.go"), "package main\n\nfunc main() {}\n")
	empty := filepath.Join(dir, "empty")
	if err := agenttest.Build(empty, filepath.Join(dir, "empty.go"), "-trimpath", "-ldflags=-s -w"); err != nil {
		b.Fatal(err)
	}
	u := agenttest.NewUserIn(b, dir)
	project := u.Project("project")
	in := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.Dir = project
		return cmd
	}
	hook := agenttest.Hook(b)
	m := inTurns(times(500, 50),
		func() time.Duration { return run(b, in(u.Agent("drop")), event) },
		func() time.Duration { return run(b, in(u.Command(hook, "claude")), event) },
		func() time.Duration { return run(b, in(u.Command(empty)), event) })
	atMost("agent drop (an empty Go program)", m[0], m[2], 2)
	atMost("spool-hook (an empty Go program)", m[1], m[2], 1.35)
}

func run(b *testing.B, cmd *exec.Cmd, stdin string) time.Duration {
	start := time.Now()
	err := quiet(cmd, stdin)
	took := time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// quiet runs a command, which must succeed and say nothing.
func quiet(cmd *exec.Cmd, stdin string) error {
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		return fmt.Errorf("%v: %v; it printed %q", cmd.Args, err, out.Bytes())
	}
	return nil
}
