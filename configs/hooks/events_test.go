//go:build unix

// What the tools give their hooks, through the whole path: the real hook, the
// real agent, the real drain.
package hooks_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spoolagent/configs"
	"spoolagent/internal/agenttest"
)

var update = flag.Bool("update-events", false, "write the golden files of the events anew")

type fixture struct {
	Name, Source string
	Event        json.RawMessage
}

func fixtures(t *testing.T, tool string) (fs []fixture) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "events", tool+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var x fixture
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil || x.Name == "" || x.Source == "" {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		fs = append(fs, x)
	}
	if lines.Err() != nil || len(fs) == 0 {
		t.Fatalf("%d fixtures, %v", len(fs), lines.Err())
	}
	return fs
}

// world is a user with a project of a hostile name, the scripts, and an agent
// that serves it.
type world struct {
	*agenttest.User
	scripts, project string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	home := filepath.Join(t.TempDir(), "ho me")
	agenttest.Mkdir(t, home)
	u := agenttest.NewUserIn(t, home)
	u.Env = []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"}
	w := &world{u, filepath.Join(u.Home, `scr'ipts "ü`), filepath.Join(u.Home, "pro ject\n'\"日")}
	agenttest.Mkdir(t, w.scripts)
	agenttest.Mkdir(t, w.project)
	w.script("hook.sh", configs.Hook())
	w.script("git.sh", agenttest.Read(t, "git.sh"))
	return w
}

// script writes an executable file beside the scripts, and returns its path.
func (w *world) script(name, text string) string {
	w.Helper()
	path := filepath.Join(w.scripts, name)
	agenttest.Write(w, path, text)
	if err := os.Chmod(path, 0o700); err != nil {
		w.Fatal(err)
	}
	return path
}

// in is a command in the project.
func (w *world) in(name string, args ...string) *exec.Cmd {
	cmd := w.Command(name, args...)
	cmd.Dir = w.project
	return cmd
}

// hook runs a script, which must say nothing.
func (w *world) hook(sh []string, stdin, script string, args ...string) {
	w.Helper()
	argv := slices.Concat(sh, []string{filepath.Join(w.scripts, script)}, args)
	w.Quiet(w.in(argv[0], argv[1:]...), stdin)
}

// serve runs the agent until the test ends.
func (w *world) serve() {
	w.Helper()
	w.MakeSpool(w.project)
	w.Run("--project", w.project, "--log-level", "error")
	agenttest.Until(w, "the agent serves", func() bool { return w.ProjectStatus(w.project).State == "serving" })
}

type signal struct {
	RecordedAt int64   `json:"recorded_at"`
	ToolName   *string `json:"tool_name"`
	CWD        string
	Payload    *string
}

// drain returns the lines and the signals that the consumer gets.
func (w *world) drain() (lines []string, signals []signal) {
	w.Helper()
	out := w.Do(w.Agent("drain", "--project", w.project, "--timeout", "60s"))
	for line := range strings.Lines(out) {
		var s signal
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.Payload == nil || !json.Valid([]byte(*s.Payload)) {
			w.Errorf("%v: %s", err, line)
		}
		lines, signals = append(lines, line), append(signals, s)
	}
	return lines, signals
}

// golden compares the signals with those of a file, in which the project and the
// time of drops that have none of their own are spelt out.
func (w *world) golden(name string, want int) {
	w.Helper()
	lines, signals := w.drain()
	if len(lines) != want {
		w.Fatalf("%d signals of %d: %s", len(lines), want, lines)
	}
	project, _ := json.Marshal(w.project)
	var got strings.Builder
	for i, line := range lines {
		if now := time.Now().Unix(); signals[i].RecordedAt > now-600 {
			line = strings.Replace(line, fmt.Sprint(signals[i].RecordedAt), "NOW", 1)
		}
		got.WriteString(strings.ReplaceAll(line, string(project), `"PROJECT"`))
	}
	path := filepath.Join("testdata", "events", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			w.Fatal(err)
		}
	}
	want2, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	if diff := cmp.Diff(string(want2), got.String()); diff != "" {
		w.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestEvents(t *testing.T) {
	for _, tool := range []string{"antigravity", "claude", "cline", "codex", "codex-notify", "copilot", "cursor", "droid", "gemini", "goose", "kimi", "kiro", "qwen", "unknown", "windsurf"} {
		for _, sh := range agenttest.Shells {
			t.Run(tool+" "+strings.Join(sh, " "), func(t *testing.T) {
				w := newWorld(t)
				w.serve()
				all := fixtures(t, tool)
				for _, f := range all {
					if tool == "codex-notify" {
						w.hook(sh, "", "hook.sh", string(f.Event))
					} else {
						w.hook(sh, string(f.Event)+"\n", "hook.sh")
					}
				}
				w.golden(tool, len(all))
			})
		}
	}
}

// The whole output of a 5 MB build: valid JSON, with head and tail, and what it belongs to.
func TestLongEvent(t *testing.T) {
	for _, sh := range agenttest.Shells {
		t.Run(strings.Join(sh, " "), func(t *testing.T) {
			w := newWorld(t)
			w.serve()
			event, err := json.Marshal(map[string]any{
				"session_id": "s", "transcript_path": "/t.jsonl", "cwd": w.project, "hook_event_name": "PostToolUse",
				"tool_name": "Bash", "tool_response": map[string]string{"stdout": "HEAD" + strings.Repeat("ok \"ü\" 😀\n", 400_000) + "TAIL"},
			})
			if err != nil {
				t.Fatal(err)
			}
			w.hook(sh, string(event), "hook.sh")
			_, signals := w.drain()
			if len(signals) != 1 {
				t.Fatalf("%d signals", len(signals))
			}
			p := *signals[0].Payload
			for _, want := range []string{`"stdout":"HEAD`, `TAIL"`, `"session_id":"s"`, `"transcript_path":"/t.jsonl"`, " bytes cut]…"} {
				if !strings.Contains(p, want) {
					t.Errorf("%s is missing in %s", want, p)
				}
			}
			// The hook has cut it once, the agent a second time.
			cut := regexp.MustCompile(`…\[([0-9]+) bytes cut\]…`).FindStringSubmatch(p)
			if n, _ := strconv.Atoi(cut[1]); n < 5_000_000 || n > len(event) {
				t.Errorf("%s of %d bytes", cut[0], len(event))
			}
			if len(p) > int(configs.Default().MaxPayload) || signals[0].CWD != w.project {
				t.Errorf("%d bytes, in %q", len(p), signals[0].CWD)
			}
		})
	}
}

// repository makes the project one of git's, with hooks that run git.sh.
func (w *world) repository(sh []string) {
	w.Helper()
	w.git("init", "-q", "-b", "main")
	for _, name := range []string{"post-commit", "post-checkout", "post-merge", "post-rewrite", "pre-push"} {
		path := filepath.Join(w.project, ".git", "hooks", name)
		agenttest.Write(w, path, fmt.Sprintf("#!/bin/sh\nexec %s %s %s \"$@\"\n", strings.Join(sh, " "), `"$HOME"/scr*/git.sh`, name))
		if err := os.Chmod(path, 0o700); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) git(args ...string) string {
	w.Helper()
	argv := append([]string{"git", "-c", "user.name=Ü \"x\" \\ y", "-c", "user.email=u@example.org"}, args...)
	return strings.TrimSpace(w.Do(w.in(argv[0], argv[1:]...)))
}

// payloads are the payloads of the signals, which are all of git.
func (w *world) payloads(want int) (ps []map[string]any) {
	w.Helper()
	_, signals := w.drain()
	for _, s := range signals {
		var p map[string]any
		if err := json.Unmarshal([]byte(*s.Payload), &p); err != nil || s.ToolName == nil || *s.ToolName != "git" || len(*s.Payload) > 4000 {
			w.Fatalf("%v: %+v, %d bytes", err, s, len(*s.Payload))
		}
		ps = append(ps, p)
	}
	if len(ps) != want {
		w.Fatalf("%d signals of %d: %v", len(ps), want, ps)
	}
	return ps
}

func TestGit(t *testing.T) {
	for _, sh := range agenttest.Shells {
		t.Run(strings.Join(sh, " "), func(t *testing.T) {
			w := newWorld(t)
			w.repository(sh)
			file := "a \"b\"\n\\ü\x01"
			agenttest.Write(w, filepath.Join(w.project, file), "x")
			agenttest.Write(w, filepath.Join(w.project, "\xff\xfe"), "x")
			w.git("add", "-A")
			w.git("commit", "-q", "-m", "Sub \"q\" \\ \x01 é😀\n\nbody\n\nmore\n")
			first := w.git("rev-parse", "HEAD")
			w.git("checkout", "-q", "-b", `br"é`)
			w.git("commit", "-q", "--amend", "-m", "amended")
			second := w.git("rev-parse", "HEAD")
			w.git("checkout", "-q", "main")
			w.git("merge", "-q", "--no-edit", "--no-ff", "--allow-unrelated-histories", "-m", "merged", `br"é`)
			bare := filepath.Join(t.TempDir(), "bare.git")
			w.git("init", "-q", "--bare", bare)
			w.git("push", "-q", "file://user:secret@"+bare, "HEAD:refs/heads/x")
			head := w.git("rev-parse", "HEAD")
			author := `Ü "x" \ y <u@example.org>`
			files := []any{map[string]any{"status": "A", "path": file}, map[string]any{"status": "A", "path": "��"}}
			want := []map[string]any{
				{"hook_event_name": "post-commit", "branch": "main", "commit": first, "author": author, "subject": "Sub \"q\" \\ \x01 é😀", "body": "body\n\nmore", "files": files},
				{"hook_event_name": "post-checkout", "branch": `br"é`, "previous": first, "commit": first, "kind": "branch"},
				{"hook_event_name": "post-commit", "branch": `br"é`, "commit": second, "author": author, "subject": "amended", "files": files},
				{"hook_event_name": "post-rewrite", "branch": `br"é`, "command": "amend", "rewritten": []any{map[string]any{"from": first, "to": second}}},
				{"hook_event_name": "post-checkout", "branch": "main", "previous": second, "commit": first, "kind": "branch"},
				{"hook_event_name": "post-merge", "branch": "main", "commit": head, "author": author, "subject": "merged", "squash": "0"},
				{"hook_event_name": "pre-push", "branch": "main", "remote": "file://" + bare, "url": "file://" + bare,
					"refs": []any{map[string]any{"local": "HEAD", "commit": head, "remote": "refs/heads/x", "previous": strings.Repeat("0", 40)}}},
			}
			if diff := cmp.Diff(want, w.payloads(len(want))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Much of everything: it is bounded, and says what is left out.
func TestGitMuch(t *testing.T) {
	w := newWorld(t)
	w.repository([]string{"sh"})
	for i := range 300 {
		agenttest.Write(w, filepath.Join(w.project, fmt.Sprintf("%03d-%s", i, strings.Repeat("é", 50))), "x")
	}
	w.git("add", "-A")
	message := filepath.Join(w.Home, "message")
	agenttest.Write(t, message, "subject "+strings.Repeat("日", 1000)+"\n\n"+strings.Repeat("body \"é\"\n", 500_000))
	w.git("commit", "-q", "-F", message)
	p := w.payloads(1)[0]
	files := p["files"].([]any)
	if len(files) < 5 || float64(len(files))+p["files_omitted"].(float64) != 300 {
		t.Errorf("%d files, %v omitted", len(files), p["files_omitted"])
	}
	for _, name := range []string{"subject", "body"} {
		if text := p[name].(string); !strings.HasPrefix(text, name+" ") || !strings.HasSuffix(text, " bytes cut]…") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// git never notices: in a bare repository, with a spool that takes nothing,
// without the hook, from a worktree.
func TestGitElsewhere(t *testing.T) {
	w := newWorld(t)
	w.repository([]string{"sh"})
	w.git("commit", "-q", "--allow-empty", "-m", "one")
	w.payloads(1)

	tree := filepath.Join(t.TempDir(), "tree")
	w.git("worktree", "add", "-q", tree)
	if got, err := filepath.Glob(filepath.Join(tree, ".spool", "incoming", "*.json")); err != nil || len(got) != 1 {
		t.Errorf("worktree: %q, %v", got, err)
	}

	bare := filepath.Join(t.TempDir(), "bare.git")
	w.git("clone", "-q", "--bare", w.project, bare)
	cmd := w.Command("sh", filepath.Join(w.scripts, "git.sh"), "pre-push", "a", "b")
	cmd.Dir = bare
	w.Quiet(cmd, strings.Repeat("x\n", 100_000))
	if _, err := os.Lstat(filepath.Join(bare, ".spool")); err == nil {
		t.Error("a bare repository has got a spool")
	}

	spool := filepath.Join(w.project, ".spool")
	if err := os.RemoveAll(spool); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, spool); err != nil {
		t.Fatal(err)
	}
	w.git("commit", "-q", "--allow-empty", "-m", "two")
	if err := os.Remove(filepath.Join(w.scripts, "hook.sh")); err != nil {
		t.Fatal(err)
	}
	w.git("commit", "-q", "--allow-empty", "-m", "three")
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside has %v", left)
	}
}
