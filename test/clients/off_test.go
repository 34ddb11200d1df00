//go:build linux && clients

package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// trust has Codex trust the hooks in its settings, as its /hooks does: it tells
// the hash of each, and its configuration takes them.
func trust(u *user) {
	u.Helper()
	cmd := u.run("app-server")
	in, err := cmd.StdinPipe()
	if err != nil {
		u.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		u.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		u.Fatal(err)
	}
	defer cmd.Wait()
	defer agenttest.KillGroup(cmd)
	fmt.Fprintf(in, `{"id":1,"method":"initialize","params":{"clientInfo":{"name":"test","version":"1"}}}
{"method":"initialized"}
{"id":2,"method":"hooks/list","params":{"cwds":[%q]}}
`, u.project)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var answer struct {
			ID     int
			Result struct {
				Data []struct {
					Hooks []struct{ Key, CurrentHash string }
				}
			}
		}
		if json.Unmarshal(lines.Bytes(), &answer) != nil || answer.ID != 2 {
			continue
		}
		var config strings.Builder
		for _, hook := range answer.Result.Data[0].Hooks {
			fmt.Fprintf(&config, "[hooks.state.%q]\ntrusted_hash = %q\n", hook.Key, hook.CurrentHash)
		}
		path := filepath.Join(u.Home, ".codex", "config.toml")
		agenttest.Write(u, path, agenttest.Read(u, path)+config.String())
		return
	}
	u.Fatalf("Codex does not tell its hooks: %v", lines.Err())
}

// off is what "agent hooks list" says that keeps the hooks from running, which are
// connected for the user.
func (u *user) off() string {
	u.Helper()
	var list struct {
		Connections []struct{ Tool, Project, State, Off string }
	}
	if err := json.Unmarshal([]byte(u.Do(u.Agent("hooks", "list", "--json"))), &list); err != nil {
		u.Fatal(err)
	}
	for _, c := range list.Connections {
		if c.Tool == u.client.name && c.Project == "" && c.State == "yes" {
			return c.Off
		}
	}
	u.Fatalf("%s is not connected: %+v", u.client.name, list)
	return ""
}

// Where "agent hooks list" says that a tool does not run its hooks, no signal
// comes. That they come otherwise is what TestClients shows.
func TestOff(t *testing.T) {
	for _, tt := range []struct{ name, client, file, old, new, want string }{
		{"claude", "claude", ".claude/settings.json", "{", `{"disableAllHooks": true,`, "disableAllHooks = true"},
		{"codex", "codex", ".codex/config.toml", "[model_providers", "[features]\nhooks = false\n[model_providers", "features.hooks = false"},
		{"codex untrusted", "codex", ".codex/config.toml", "", "", "Codex does not trust the hook of UserPromptSubmit"},
		{"gemini", "gemini", ".gemini/settings.json", "{", `{"hooksConfig": {"enabled": false},`, "hooksConfig.enabled = false"},
		{"gemini, one", "gemini", ".gemini/settings.json", "{", `{"hooksConfig": {"disabled": ["spool-agent"]},`, "hooksConfig.disabled = spool-agent"},
		{"copilot", "copilot", ".copilot/hooks/spool-agent.json", "{", `{"disableAllHooks": true,`, "disableAllHooks = true"},
		{"qwen", "qwen", ".qwen/settings.json", "{", `{"disableAllHooks": true,`, "disableAllHooks = true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUser(t, named(tt.client))
			u.Do(u.Agent("hooks", "install", tt.client))
			if tt.name == "codex" {
				trust(u)
			}
			path := filepath.Join(u.Home, tt.file)
			if err := os.WriteFile(path, []byte(strings.Replace(agenttest.Read(t, path), tt.old, tt.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			u.MakeSpool(u.project)
			if os.Getuid() == 0 {
				u.Become(somebody)
			}
			u.Run()
			if off := u.off(); !strings.Contains(off, tt.want) {
				t.Errorf("off: %q", off)
			}
			if e := u.session(session{task: "many"}); e.status != 0 {
				t.Errorf("it ended with %d: %.1000s", e.status, e.errors)
			}
			if lines, err := u.drain(false); len(lines) > 0 || err != nil {
				t.Errorf("signals: %q, %v", lines, err)
			}
		})
	}
}
