//go:build unix

package hooks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// Settings in TOML keep what others have in them, also after the tool itself has
// written them anew.
func TestTables(t *testing.T) {
	edit := tool(t, "kimi").edit.(tables)
	const others = "model = \"x\" # mine\n\n[[hooks]]\nevent = \"Stop\"\ncommand = \"notify\"\n\n[providers.a] # theirs\nkey = '[[hooks]]'"
	made, err := edit.connect([]byte(others))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Hooks []struct {
			Event, Command string
			Timeout        int
		}
	}
	if err := toml.Unmarshal(made, &config); err != nil || len(config.Hooks) != 1+len(edit.events) {
		t.Fatalf("%v: %+v", err, config)
	}
	for _, hook := range config.Hooks[1:] {
		if _, ours := parseOurs(hook.Command); !ours || !slices.Contains(edit.events, hook.Event) || hook.Timeout != 5 {
			t.Errorf("%+v", hook)
		}
	}
	if got, err := edit.disconnect(made); err != nil || string(got) != others+"\n" {
		t.Errorf("without ours: %q, %v", got, err)
	}
	apart := strings.ReplaceAll(string(made), "[[hooks]]\nevent", "\n[[hooks]]\nevent") + "\n[more]\nx = 1\n"
	if state, err := edit.state([]byte(apart)); err != nil || state != Connected {
		t.Errorf("written anew: %s, %v", state, err)
	}
	older := strings.Replace(string(made), "timeout = 5", "timeout = 6", 1)
	if state, err := edit.state([]byte(older)); err != nil || state != Outdated {
		t.Errorf("another timeout: %s, %v", state, err)
	}
	if again, err := edit.connect([]byte(older)); err != nil || string(again) != string(made) {
		t.Errorf("connected again: %s, %v", again, err)
	}
	for text, want := range map[string]string{"hooks = []\n": "could not be edited", "a = = b\n": "is not valid TOML: "} {
		if _, err := edit.connect([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The file for Kiro is one that it reads.
func TestKiroHooks(t *testing.T) {
	var file struct {
		Version string
		Hooks   []struct {
			Name, Trigger string
			Action        struct{ Type, Command string }
			Timeout       int
		}
	}
	if err := json.Unmarshal([]byte(tool(t, "kiro").Fragment()), &file); err != nil || file.Version != "v1" || len(file.Hooks) != 3 {
		t.Fatalf("%v: %+v", err, file)
	}
	for _, hook := range file.Hooks {
		if _, ours := parseOurs(hook.Action.Command); !ours || hook.Action.Type != "command" || hook.Trigger == "" || hook.Timeout != 5 {
			t.Errorf("%+v", hook)
		}
	}
}

// Where one tool runs the hooks of another, too, that is told.
func TestDoubled(t *testing.T) {
	s := newSetup(t)
	project := filepath.Join(s.home, "p")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	const want = "GitHub Copilot CLI runs Claude Code's hooks in "
	told := func(p *Plan) bool {
		return slices.ContainsFunc(p.Notes, func(note string) bool { return strings.HasPrefix(note, want) })
	}
	if told(install(t, s, "claude", project)) {
		t.Error("told, though only Claude Code is connected")
	}
	if !told(install(t, s, "copilot", project)) || !strings.HasPrefix(s.Check(t.Context(), tool(t, "claude"), project).Doubled, want) {
		t.Error("both in a project: not told")
	}
	uninstall(t, s, "copilot", project)
	install(t, s, "copilot", "")
	if !strings.HasPrefix(s.Check(t.Context(), tool(t, "claude"), project).Doubled, want) {
		t.Error("Copilot CLI for the user: not told")
	}
}

// Settings that cannot be read are not taken for connected ones.
func TestBrokenIsNotConnected(t *testing.T) {
	s := newSetup(t)
	project := filepath.Join(s.home, "p")
	put(t, "", project, "x")
	put(t, "{", s.home, ".gemini", "settings.json")
	if p := install(t, s, "gemini", project); len(p.Notes) > 0 {
		t.Errorf("notes: %q", p.Notes)
	}
}
