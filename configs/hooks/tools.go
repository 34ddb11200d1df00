package hooks

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"spoolagent/internal/place"
)

// A Tool is a program whose events become signals.
type Tool struct {
	Name  string // as the command line takes it
	Title string // as its makers spell it
	Note  string // what to know once it is connected; may be empty

	programs []string            // any of them in PATH: it is here
	home     func(string) string // where it keeps what is the user's, below that directory or another
	project  string              // where it keeps what is a project's
	file     string              // what we edit, in either
	edit     editor
	scripts  []string // what its hooks run
	blockers []blocker
}

const (
	hookScript = "hook.sh"
	gitScript  = "git.sh"

	gitScriptPath = place.Share + "/" + gitScript // below the home directory
)

// gitName is the tool whose hooks are those of a repository.
const gitName = "git"

// tools is the one table of what is connected to what. testdata/README.md says
// where each format is from.
func tools() []Tool {
	// Where a tool could run hooks without waiting for them, it is not told to:
	// Claude Code kills what still runs when a session without a terminal ends,
	// and starts the hooks of the next event before.
	seconds := func(n int) object { return object{{"timeout", n}} }
	// What somebody has run at the ends of a turn may take a minute. Where a turn
	// fails it is not run, but with the next end: "claude -p" kills hooks then.
	minute := func(names ...string) []event { return each(seconds(60), names...) }
	millis := func(n int) object { return object{{"name", "spool-agent"}, {"timeout", n}} }

	return []Tool{{
		Name: "claude", Title: "Claude Code",
		Note:     "sessions that are open already may not use the hooks before they are started again",
		programs: []string{"claude"},
		home:     below("CLAUDE_CONFIG_DIR", "", ".claude"),
		project:  ".claude", file: "settings.json", scripts: []string{hookProgram, hookScript},
		blockers: []blocker{
			{"settings.json", []string{"disableAllHooks"}, true},
			{"settings.local.json", []string{"disableAllHooks"}, true},
			{"/etc/claude-code/managed-settings.json", []string{"disableAllHooks"}, true},
			{"/etc/claude-code/managed-settings.json", []string{"allowManagedHooksOnly"}, true},
			{"/Library/Application Support/ClaudeCode/managed-settings.json", []string{"disableAllHooks"}, true},
			{"/Library/Application Support/ClaudeCode/managed-settings.json", []string{"allowManagedHooksOnly"}, true},
		},
		// All hooks of SessionEnd have 1.5 s together; a greater timeout would
		// lengthen that, and the exit of every session with it. StopFailure comes
		// instead of Stop where the API fails. Its own helpers, at a compaction, end
		// with a SubagentStop that names no agent.
		edit: settings{source: "claude", nested: true, matchers: map[string]string{"SubagentStop": ".+"}, events: append(
			each(seconds(5), "UserPromptSubmit", "PostToolUse", "PostToolUseFailure", "SubagentStart", "SubagentStop",
				"Stop", "StopFailure", "PreCompact", "PostCompact"),
			event{"SessionEnd", seconds(1)}),
			ends: append(minute("Stop", "PreCompact"), event{"SessionEnd", seconds(10)})},
	}, {
		Name: "codex", Title: "Codex",
		programs: []string{"codex"},
		home:     below("CODEX_HOME", "", ".codex"),
		project:  ".codex", file: "hooks.json", scripts: []string{hookProgram, hookScript},
		blockers: []blocker{{"config.toml", []string{"features", "hooks"}, false}},
		// Of a SessionEnd with more than 3 s it would warn at each start.
		edit: settings{source: "codex", nested: true, events: append(
			each(seconds(5), "UserPromptSubmit", "PostToolUse", "SubagentStop", "Stop", "PreCompact", "PostCompact"),
			event{"SessionEnd", seconds(3)}),
			ends: append(minute("Stop", "PreCompact"), event{"SessionEnd", seconds(3)})},
	}, {
		Name: "cursor", Title: "Cursor",
		Note:     "where Cursor is set to run Claude Code's hooks too, connect only one of the two",
		programs: []string{"cursor", "cursor-agent"},
		home:     below("", "", ".cursor"),
		project:  ".cursor", file: "hooks.json", scripts: []string{hookProgram, hookScript},
		// postToolUse has what afterShellExecution, afterMCPExecution and
		// afterFileEdit have: with these, everything would be there twice.
		edit: settings{source: "cursor", version: 1, events: each(seconds(5),
			"postToolUse", "postToolUseFailure", "afterAgentResponse", "subagentStop", "stop", "preCompact", "sessionEnd"),
			ends: minute("stop", "preCompact", "sessionEnd")},
	}, {
		Name: "gemini", Title: "Gemini CLI",
		programs: []string{"gemini"},
		home:     below("GEMINI_CLI_HOME", ".gemini", ".gemini"),
		project:  ".gemini", file: "settings.json", scripts: []string{hookProgram, hookScript},
		blockers: []blocker{
			{"settings.json", []string{"hooksConfig", "enabled"}, false},
			{"settings.json", []string{"hooksConfig", "disabled"}, "spool-agent"},
		},
		// AfterAgent has the prompt as well. PreCompress comes before each request
		// to the model, whether or not anything is compressed. Timeouts are in
		// milliseconds.
		edit: settings{source: "gemini", nested: true, events: append(
			each(millis(5000), "AfterTool", "AfterAgent"),
			event{"SessionEnd", millis(1000)}),
			ends: append(each(millis(60_000), "AfterAgent"), event{"SessionEnd", millis(10_000)})},
	}, {
		Name: "opencode", Title: "OpenCode",
		Note:     "OpenCode loads the plugin when it starts",
		programs: []string{"opencode"},
		home:     below("XDG_CONFIG_HOME", "opencode", ".config/opencode"),
		project:  ".opencode", file: "plugins/spool-agent.js",
		edit: whole(plugin),
	}, {
		Name: "qwen", Title: "Qwen Code",
		programs: []string{"qwen"},
		home:     below("QWEN_HOME", "", ".qwen"),
		project:  ".qwen", file: "settings.json", scripts: []string{hookProgram, hookScript},
		blockers: []blocker{{"settings.json", []string{"disableAllHooks"}, true}},
		// UserPromptSubmit also comes, with an empty prompt, whenever tools have run.
		// But no other event has the prompt.
		edit: settings{source: "qwen", nested: true, events: each(seconds(5),
			"UserPromptSubmit", "PostToolUse", "PostToolUseFailure", "SubagentStart", "SubagentStop",
			"Stop", "StopFailure", "PreCompact", "PostCompact", "SessionEnd"),
			ends: minute("Stop", "PreCompact", "SessionEnd")},
	}, {
		Name: "copilot", Title: "GitHub Copilot CLI",
		programs: []string{"copilot"},
		home:     below("COPILOT_HOME", "", ".copilot"),
		project:  ".github", file: "hooks/spool-agent.json", scripts: []string{hookProgram, hookScript},
		// Under these names events come in the form of Claude Code's. Only that of
		// SubagentStart has no name in it.
		blockers: []blocker{{"hooks/spool-agent.json", []string{"disableAllHooks"}, true}},
		edit: settings{source: "copilot", version: 1, events: each(object{{"type", "command"}, {"timeoutSec", 5}},
			"UserPromptSubmit", "PostToolUse", "PostToolUseFailure", "SubagentStop", "Stop", "ErrorOccurred", "PreCompact", "SessionEnd"),
			ends: each(object{{"type", "command"}, {"timeoutSec", 60}}, "Stop", "PreCompact", "SessionEnd")},
	}, {
		Name: "windsurf", Title: "Windsurf",
		programs: []string{"windsurf"},
		home:     below("", "", ".codeium/windsurf"),
		project:  ".windsurf", file: "hooks.json", scripts: []string{hookProgram, hookScript},
		// No event has the prompt after the fact. A hook has no timeout.
		edit: settings{source: "windsurf", events: each(nil,
			"pre_user_prompt", "post_write_code", "post_run_command", "post_mcp_tool_use", "post_cascade_response"),
			ends: each(nil, "post_cascade_response")},
	}, {
		Name: gitName, Title: "git",
		programs: []string{"git"}, scripts: []string{gitScript, hookScript}, // one runs the other
		edit: block{},
	}}
}

// below is a directory below the one that an environment variable names, or
// without it, another below the home directory.
func below(variable, name, otherwise string) func(home string) string {
	return func(home string) string {
		if dir := os.Getenv(variable); filepath.IsAbs(dir) {
			return filepath.Join(dir, name)
		}
		return filepath.Join(home, otherwise)
	}
}

// Then is the tool whose hooks, at the ends of a turn or a session and before a
// compaction, also run a command, in sh, once the signal is stored. Install keeps
// the command that is there, if it is not told another.
func (t Tool) Then(command string) (Tool, error) {
	edit, ok := t.edit.(settings)
	if !ok || runtime.GOOS == "windows" {
		return t, errors.New("cannot run a command at the end of a turn: it has no hook there that a shell runs")
	}
	edit.then = command
	t.edit = edit
	return t, nil
}

// Fragment is what Install puts into the tool's settings, as a file of its own;
// for git, a hook.
func (t Tool) Fragment() string {
	data, err := t.edit.connect(nil)
	if err != nil {
		panic(err) // no file was read; a test has seen it
	}
	return string(data)
}

// OfRepository reports whether the tool's hooks are those of one repository,
// which must be named.
func (t Tool) OfRepository() bool { return t.Name == gitName }

// GitHooks are the names of the hooks of git that are connected.
func GitHooks() []string { return slices.Clone(gitHooks[:]) }
