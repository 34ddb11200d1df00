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
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

func goDrop(b *testing.B, dir string) {
	tool, payload := "Bash", strings.Repeat("a payload of some length; ", 10)
	s := signal.Signal{RecordedAt: 1763852400, ToolName: &tool, CWD: "/home/u/repo", Payload: &payload}
	line := s.AppendLine(nil)
	project := mkdir(b, dir, "project")
	tmp, incoming := spool(b, project)
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

// spool makes a project's spool. A floor works in the same directories as what
// stands on it, for in some a file takes longer to make than in others.
func spool(b *testing.B, project string) (tmp, incoming string) {
	sp, err := spoolfiles.Create(project)
	if err != nil {
		b.Fatal(err)
	}
	defer sp.Close()
	return sp.Tmp.Path(), sp.Incoming.Path()
}

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
	write(b, hook, configs.Hook())
	write(b, bare, `cat >"$1" && mv "$1" "$2"`)
	project := mkdir(b, dir, "project")
	tmp, incoming := spool(b, project)

	theHook := func() *exec.Cmd {
		return command(project, event, []string{"CLAUDE_PROJECT_DIR=" + project}, "sh", hook)
	}
	n := 0
	m := inTurns(times(500, 50),
		func() time.Duration { return run(b, theHook()) },
		func() time.Duration {
			n++
			name := fmt.Sprintf("/%d.json", n)
			return run(b, command(project, event, nil, "sh", bare, tmp+name, incoming+name))
		})
	atMost("the shell hook (sh with cat and mv)", m[0], m[1], 1.25)

	const atOnce = 16
	before := len(names(b, incoming))
	rounds := times(100, 10)
	failed := 0
	for range rounds {
		var all sync.WaitGroup
		results := make([]error, atOnce)
		for i := range results {
			all.Go(func() { results[i] = quiet(theHook()) })
		}
		all.Wait()
		for _, err := range results {
			if err != nil {
				failed++
			}
		}
	}
	failed = max(failed, rounds*atOnce-(len(names(b, incoming))-before))
	result := "ok"
	if failed > 0 {
		result = "MISSED"
	}
	printRow("  16 at once", "", "", fmt.Sprintf("%d of %d", failed, rounds*atOnce), "none fails", result)
}

func agentDrop(b *testing.B, dir string) {
	agent := build(b, dir, "agent", "spoolagent/cmd/agent")
	write(b, filepath.Join(dir, "empty.go"), "package main\n\nfunc main() {}\n")
	empty := build(b, dir, "empty", filepath.Join(dir, "empty.go"))
	project := mkdir(b, dir, "project")
	m := inTurns(times(500, 50),
		func() time.Duration { return run(b, command(project, event, nil, agent, "drop")) },
		func() time.Duration { return run(b, command(project, event, nil, empty)) })
	atMost("agent drop (an empty Go program)", m[0], m[1], 2)
}

// build builds a program as the Makefile does.
func build(b *testing.B, dir, name, what string) string {
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, what)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("building %s: %v\n%s", name, err, out)
	}
	return path
}

// command is one with nothing of the user's own environment or configuration.
func command(home, stdin string, env []string, argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = home
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+home)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

func run(b *testing.B, cmd *exec.Cmd) time.Duration {
	start := time.Now()
	err := quiet(cmd)
	took := time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// quiet runs a command, which must succeed and say nothing.
func quiet(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		return fmt.Errorf("%v: %v; it printed %q", cmd.Args, err, out.Bytes())
	}
	return nil
}

func names(b *testing.B, dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		b.Fatal(err)
	}
	return names
}
