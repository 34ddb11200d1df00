//go:build linux && clients

package clients

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"spoolagent/internal/agenttest"
)

// A client is a tool as its makers ship it.
type client struct {
	name    string                      // as "agent hooks" has it
	program string                      // below node_modules
	prepare func(m *model, home string) // writes its settings, which lead it to the model
	env     func(m *model) []string
	args    func(prompt string) []string // of a session that does not ask anybody
	connect func(u *user)                // what is to be done once the hooks are installed; may be nil
	call    func(m *model, c call) (tool string, args any)
	tasks   map[string]task // that it does otherwise than others

	transcripts   []string // the events that name one; nil: all
	helperSession bool     // a subagent has a session of its own

	settings []string // the files that our hooks are in, and those beside them, as patterns
	rewrite  []string // a command that has the client write these; nil if it never does
}

// A session is one run of a client.
type session struct {
	task string
	args []string // beside those that all sessions have
	want []string // the signals

	anyOrder bool // a subagent works beside the model
	// notAwaited is a signal whose hook the client does not wait for, so that it may be
	// killed at the end.
	notAwaited string
}

// arch is the processor as npm has it.
var arch = map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]

func write(m *model, path string, data any) {
	text, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		m.t.Fatal(err)
	}
	agenttest.Mkdir(m.t, filepath.Dir(path))
	agenttest.Write(m.t, path, string(text)+"\n")
}

func named(name string) client {
	return clients[slices.IndexFunc(clients, func(c client) bool { return c.name == name })]
}

// file is the path of the file that a call writes.
func (m *model) file(c call) string { return filepath.Join(m.dir, "mark-"+c.mark+".txt") }

var clients = []client{{
	name: "claude", program: "@anthropic-ai/claude-code-linux-" + arch + "/claude",
	settings: []string{".claude/settings.json"},
	rewrite:  []string{"plugin", "marketplace", "add", "../market"},
	prepare: func(m *model, home string) {
		write(m, filepath.Join(home, ".claude", "settings.json"), object{"theme": "light"})
		write(m, filepath.Join(home, "market", ".claude-plugin", "marketplace.json"), object{
			"name": "market", "owner": object{"name": "nobody"}, "plugins": []any{}})
	},
	env: func(m *model) []string {
		return []string{"ANTHROPIC_BASE_URL=" + m.URL, "ANTHROPIC_API_KEY=none", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1"}
	},
	args: func(prompt string) []string { return []string{"-p", prompt, "--dangerously-skip-permissions"} },
	call: func(m *model, c call) (string, any) {
		switch c.kind {
		case writes:
			return "Write", object{"file_path": m.file(c), "content": c.content()}
		case delegate:
			return "Agent", object{"description": "help", "prompt": prompt(c.mark), "subagent_type": "general-purpose", "run_in_background": false}
		}
		return "Bash", object{"command": c.command(), "description": "runs it"}
	},
}, {
	name: "codex", program: ".bin/codex",
	connect:  trust,
	tasks:    map[string]task{"hand": {steps: [][]call{{{delegate, "help"}}, {{awaits, "help"}}, {{shell, "after"}}}}},
	settings: []string{".codex/hooks.json"},
	prepare: func(m *model, home string) {
		path := filepath.Join(home, ".codex", "config.toml")
		agenttest.Mkdir(m.t, filepath.Dir(path))
		agenttest.Write(m.t, path, fmt.Sprintf(`model = "gpt-5.5"
model_provider = "fake"
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.fake]
name = "fake"
base_url = "%s/v1"
env_key = "FAKE_KEY"
wire_api = "responses"

[projects.%q]
trust_level = "trusted"
`, m.URL, m.dir))
	},
	env:  func(*model) []string { return []string{"FAKE_KEY=none"} },
	args: func(prompt string) []string { return []string{"exec", prompt} },
	call: func(m *model, c call) (string, any) {
		switch c.kind {
		case writes:
			return "apply_patch", fmt.Sprintf("*** Begin Patch\n*** Add File: %s\n+%s\n*** End Patch\n", filepath.Base(m.file(c)), "x")
		case delegate:
			return "collaboration/spawn_agent", object{"task_name": c.mark, "message": prompt(c.mark), "fork_turns": "none"}
		case awaits:
			return "collaboration/wait_agent", object{"timeout_ms": 60_000}
		}
		return "exec_command", object{"cmd": c.command(), "yield_time_ms": 20_000}
	},
}, {
	name: "gemini", program: ".bin/gemini",
	settings: []string{".gemini/settings.json"},
	rewrite:  []string{"mcp", "add", "-s", "user", "one", "echo"},
	tasks:    map[string]task{"help": {steps: [][]call{{{shell, "helped"}}, {{awaits, "done"}}}}},
	prepare: func(m *model, home string) {
		write(m, filepath.Join(home, ".gemini", "settings.json"), object{"security": object{"auth": object{"selectedType": "gemini-api-key"}}})
	},
	env: func(m *model) []string {
		return []string{"GOOGLE_GEMINI_BASE_URL=" + m.URL, "GEMINI_API_KEY=none", "GEMINI_CLI_TRUST_WORKSPACE=true"}
	},
	args: func(prompt string) []string { return []string{"-y", "-m", "gemini-2.5-flash", "-p", prompt} },
	call: func(m *model, c call) (string, any) {
		switch c.kind {
		case writes:
			return "write_file", object{"file_path": m.file(c), "content": c.content()}
		case delegate:
			return "invoke_agent", object{"agent_name": "generalist", "prompt": prompt(c.mark)}
		case awaits:
			return "complete_task", object{"result": "mark-done"}
		}
		return "run_shell_command", object{"command": c.command(), "description": "runs it"}
	},
}, {
	name: "opencode", program: "opencode-linux-" + arch + "/bin/opencode",
	settings:    []string{".config/opencode/opencode.json", ".config/opencode/plugins/*"},
	transcripts: []string{}, helperSession: true,
	prepare: func(m *model, home string) {
		write(m, filepath.Join(home, ".config", "opencode", "opencode.json"), object{
			"model": "fake/fake", "autoupdate": false, "permission": "allow",
			"provider": object{"fake": object{"npm": "@ai-sdk/openai-compatible", "name": "fake",
				"options": object{"baseURL": m.URL + "/v1", "apiKey": "none"}, "models": object{"fake": object{"name": "fake"}}}},
		})
	},
	env: func(*model) []string {
		return []string{"OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_DEFAULT_PLUGINS=1", "OPENCODE_DISABLE_LSP_DOWNLOAD=1"}
	},
	args: func(prompt string) []string { return []string{"run", prompt} },
	call: func(m *model, c call) (string, any) {
		switch c.kind {
		case fails:
			return "read", object{"filePath": filepath.Join(m.dir, "mark-"+c.mark)}
		case writes:
			return "write", object{"filePath": m.file(c), "content": c.content()}
		case delegate:
			return "task", object{"description": "help", "prompt": prompt(c.mark), "subagent_type": "general"}
		}
		return "bash", object{"command": c.command(), "description": "runs it"}
	},
}, {
	name: "qwen", program: ".bin/qwen",
	settings: []string{".qwen/settings.json"},
	rewrite:  []string{"mcp", "add", "-s", "user", "one", "echo"},
	prepare: func(m *model, home string) {
		write(m, filepath.Join(home, ".qwen", "settings.json"), object{"security": object{"auth": object{"selectedType": "openai"}}})
	},
	env: func(m *model) []string {
		return []string{"OPENAI_BASE_URL=" + m.URL + "/v1", "OPENAI_API_KEY=none", "OPENAI_MODEL=fake"}
	},
	args: func(prompt string) []string { return []string{"-y", "-p", prompt} },
	call: func(m *model, c call) (string, any) {
		switch c.kind {
		case writes:
			return "write_file", object{"file_path": m.file(c), "content": c.content()}
		case delegate:
			return "agent", object{"description": "help", "prompt": prompt(c.mark), "subagent_type": "general-purpose", "run_in_background": false}
		}
		return "run_shell_command", object{"command": c.command(), "description": "runs it", "is_background": false}
	},
}, {
	name: "copilot", program: ".bin/copilot",
	settings:    []string{".copilot/hooks/*"},
	transcripts: []string{"Stop", "SubagentStop"}, helperSession: true,
	prepare: func(*model, string) {},
	env: func(m *model) []string {
		return []string{"COPILOT_PROVIDER_BASE_URL=" + m.URL + "/v1", "COPILOT_PROVIDER_API_KEY=none", "COPILOT_MODEL=gpt-5", "COPILOT_OFFLINE=true"}
	},
	args: func(prompt string) []string { return []string{"-p", prompt, "--allow-all-tools"} },
	call: func(m *model, c call) (string, any) {
		switch c.kind {
		case fails:
			return "view", object{"path": m.file(c)}
		case writes:
			return "create", object{"path": m.file(c), "file_text": c.content()}
		case delegate:
			return "task", object{"name": "help", "description": "help", "prompt": prompt(c.mark), "agent_type": "general-purpose", "mode": "sync"}
		}
		return "bash", object{"command": c.command(), "description": "runs it"}
	},
}}
