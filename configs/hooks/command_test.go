//go:build unix

package hooks

import (
	"cmp"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
	"spoolagent/internal/place"
)

// commandsOf are all commands in a tool's settings, as another program would
// find them.
func commandsOf(t *testing.T, tool Tool) (found []string) {
	t.Helper()
	var root any
	if err := json.Unmarshal([]byte(tool.Fragment()), &root); err != nil {
		t.Fatalf("%s: %v", tool.Name, err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if text, ok := v["command"].(string); ok {
				found = append(found, text)
			}
			for _, v := range v {
				walk(v)
			}
		case []any:
			for _, v := range v {
				walk(v)
			}
		}
	}
	walk(root)
	return slices.Compact(found)
}

// fixtures are events as the tool gives them to its hooks.
func fixtures(t *testing.T, tool Tool) (events []string) {
	t.Helper()
	for line := range strings.Lines(get(t, "testdata", "events", tool.Name+".jsonl")) {
		var fixture struct{ Event json.RawMessage }
		if err := json.Unmarshal([]byte(line), &fixture); err != nil {
			t.Fatal(err)
		}
		events = append(events, string(fixture.Event))
	}
	return events
}

// The installed command, by the shell: with the program, with the script alone,
// or with neither, it reads all of its input, prints nothing, or for Antigravity an
// empty object, and ends with 0. With one of the two, the event is stored, under the
// tool's name.
func TestCommands(t *testing.T) {
	script, err := os.ReadFile("../hook.sh")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(agenttest.Hook(t))
	if err != nil {
		t.Fatal(err)
	}
	large := `{"hook_event_name":"PostToolUse","tool_name":"Bash","tool_response":"` + strings.Repeat("x", 300_000) + `"}`
	for _, shell := range agenttest.CommandShells {
		path := agenttest.Tool(t, shell[0])
		for _, tool := range Tools() {
			if _, ok := tool.edit.(settings); !ok {
				continue
			}
			answer := ""
			if tool.Name == "antigravity" {
				answer = "{}\n"
			}
			events := append(fixtures(t, tool), large, "x")
			for i, home := range []string{"home", `a "b" 'c' $d`, "new\nline", "Grüße"} {
				if i == 1 { // the events of one home will do
					events = events[len(events)-2:]
				}
				for _, there := range []string{"both", "script", "neither"} {
					dir := t.TempDir()
					project := filepath.Join(dir, "project")
					os.Mkdir(project, 0o700)
					if there == "both" {
						put(t, string(program), dir, home, place.Share, hookProgram)
						if err := os.Chmod(filepath.Join(dir, home, place.Share, hookProgram), 0o700); err != nil {
							t.Fatal(err)
						}
					}
					if there == "script" {
						put(t, string(script), dir, home, place.Share, hookScript)
					}
					for _, command := range commandsOf(t, tool) {
						for _, event := range events {
							cmd := exec.Command(path, append(slices.Clone(shell[1:]), "-c", command)...)
							cmd.Dir = project
							// In another locale, fish finds no home with such a name.
							cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, home), "LC_ALL=C.UTF-8"}
							runCommand(t, cmd, event, answer)
							drops, _ := filepath.Glob(filepath.Join(project, ".spool", "incoming", "*."+tool.Name+".json"))
							switch {
							case there == "neither" && len(drops) > 0:
								t.Errorf("%s: drops %q, though there is nothing to make them", tool.Name, drops)
							case there == "neither":
							case len(drops) != 1:
								t.Errorf("%s %v, %s, home %q: drops %q", tool.Name, shell, there, home, drops)
							default:
								if got := get(t, drops[0]); got != event {
									t.Errorf("%s: stored %.200s, want %.200s", tool.Name, got, event)
								}
								os.Remove(drops[0])
							}
						}
					}
				}
			}
		}
	}
}

// A command is recognized that was installed from elsewhere, or for Windows.
func TestCommandRecognized(t *testing.T) {
	for _, text := range []string{
		command("linux", "~/.local/share/spool-agent/bin/spool-hook", "claude"),
		command("darwin", "/opt/homebrew/bin/spool-hook", "codex"),
		command("linux", "/usr/bin/spool-hook", "antigravity"),
		command("windows", "C:/Users/u/.local/share/spool-agent/bin/spool-hook.exe", "cursor"),
		command("windows", "C:/Users/A B/.local/share/spool-agent/bin/spool-hook.exe", "gemini"),
		earlier[0], earlier[1],
	} {
		if !wasInstalled(text) {
			t.Errorf("%q is not recognized", text)
		}
		for _, other := range []string{text + " ", text + "; notify", strings.ToUpper(text)} {
			if wasInstalled(other) {
				t.Errorf("%q is taken for one of ours", other)
			}
		}
	}
	for _, text := range []string{"", " ", "echo {}; " + installed, strings.TrimPrefix(command("linux", "/usr/bin/spool-hook", "antigravity"), "echo {}; "), "notify", "spool-hook", "spool-hook mine", "[ -x ", "[ -x /usr/bin/spool-hook ]"} {
		if wasInstalled(text) {
			t.Errorf("%q is taken for one of ours", text)
		}
	}
}

// A hook that runs another command does so after its own, in every shell, and
// nothing of it reaches the tool. The command is recognized, and got back.
func TestThen(t *testing.T) {
	program, err := os.ReadFile(agenttest.Hook(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, shell := range agenttest.CommandShells {
		path := agenttest.Tool(t, shell[0])
		for _, then := range []string{
			`ls .spool/incoming >ran`,
			`cat; ls .spool/incoming >ran; echo 'an answer'; echo "an error" >&2; exit 2`,
			`[ "\\a\'b'$HOME" ] && [ '\' = "\\" ] && printf '%s' 'it'\''s' >/dev/null && ls .spool/incoming >"$PWD/ran" # '\`,
			"ls .spool/incoming >ran\nif",
		} {
			dir := t.TempDir()
			put(t, string(program), dir, place.Share, hookProgram)
			if err := os.Chmod(filepath.Join(dir, place.Share, hookProgram), 0o700); err != nil {
				t.Fatal(err)
			}
			project := filepath.Join(dir, "project")
			os.Mkdir(project, 0o700)
			text := withThen(nested.command(), then)
			if got, ours := parseOurs(text); got != then || !ours {
				t.Errorf("%q: got back %q, %v", text, got, ours)
			}
			cmd := exec.Command(path, append(slices.Clone(shell[1:]), "-c", text)...)
			cmd.Dir = project
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8"}
			runCommand(t, cmd, `{"hook_event_name":"Stop"}`, "")
			if ran := get(t, project, "ran"); !strings.HasSuffix(ran, ".claude.json\n") {
				t.Errorf("%v: %s ran and saw %q", shell, then, ran)
			}
		}
	}
	for _, text := range []string{"sh -c '", "sh -c 'notify'; sh -c 'x" + thenEnd, withThen(nested.command(), "x") + " ",
		strings.Replace(withThen(nested.command(), "it's"), `'\''`, `'`, 1), "x; " + withThen(nested.command(), "x")} {
		if _, ours := parseOurs(text); ours {
			t.Errorf("%q is taken for one of ours", text)
		}
	}
}

func runCommand(t *testing.T, cmd *exec.Cmd, input, answer string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = r
	fed := make(chan error, 1)
	go func() {
		_, err := io.WriteString(w, input)
		w.Close()
		fed <- err
	}()
	out, err := cmd.CombinedOutput()
	r.Close()
	if err != nil || string(out) != answer {
		t.Errorf("%q: %v, output %q", cmd.Args, err, out)
	}
	if err := <-fed; err != nil {
		t.Errorf("%q has not read its input: %v", cmd.Args, err)
	}
}

// What the hooks of each tool are, so that a change of it is seen: installed
// ones become outdated by it.
func TestTable(t *testing.T) {
	for _, tool := range Tools() {
		edit, ok := tool.edit.(settings)
		if !ok {
			continue
		}
		want := edit.command()
		if got := commandsOf(t, tool); len(got) != 1 || got[0] != want || strings.ContainsAny(want, `$"'`) || edit.source != tool.Name {
			t.Errorf("%s: commands %q", tool.Name, got)
		}
		var documented []string
		for _, text := range fixtures(t, tool) {
			var event struct {
				Name   string `json:"hook_event_name"`
				Action string `json:"agent_action_name"`
				Event  string // Goose
				// Antigravity does not say, but only these two have:
				StepIdx           *int
				TerminationReason string
			}
			if err := json.Unmarshal([]byte(text), &event); err != nil {
				t.Fatal(err)
			}
			switch {
			case event.StepIdx != nil:
				event.Name = "PostToolUse"
			case event.TerminationReason != "":
				event.Name = "Stop"
			}
			documented = append(documented, cmp.Or(event.Name, event.Action, event.Event))
		}
		for _, e := range edit.events {
			if !slices.Contains(documented, e.name) {
				t.Errorf("%s: no fixture has the event %s", tool.Name, e.name)
			}
			if e.seconds < 1 || e.seconds > 5 {
				t.Errorf("%s %s: a timeout of %d s", tool.Name, e.name, e.seconds)
			}
			// All SessionEnd hooks of Claude Code together have 1.5 s. Codex
			// warns if one has more than 3 s.
			if e.name == "SessionEnd" && (tool.Name == "claude" && e.seconds > 1 || tool.Name == "codex" && (e.seconds > 3 || e.then > 3)) {
				t.Errorf("%s: a timeout of %d s", e.name, e.seconds)
			}
		}
	}
}
