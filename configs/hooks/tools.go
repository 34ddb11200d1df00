package hooks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"spoolagent/internal/place"
)

// A Tool is a program whose events become signals.
type Tool struct {
	Name  string // as the command line takes it
	Title string // as its makers spell it
	Note  string // what to know once it is connected; may be empty

	programs []string            // any of them in PATH: it is here
	home     func(string) string // where it keeps what is the user's, below that directory or another; nil: only projects count
	project  string              // where it keeps what is a project's; empty: nowhere
	file     string              // what we edit, in either
	scripts  []string            // or there, in a file for each of these events
	edit     editor
	blockers []blocker
}

const (
	hookScript = "hook.sh"
	gitScript  = "git.sh"

	gitScriptPath = place.Share + "/" + gitScript // below the home directory
)

// documentsDir is below the home directory, for all programs.
const documentsDir = "Documents"

// gitName is the tool whose hooks are those of a repository.
const gitName = "git"

// The forms of a hook, and of a group with nothing but it.
const (
	hookForm  = `{"type": "command", "command": COMMAND, "timeout": SECONDS}`
	groupForm = `{"hooks": [` + hookForm + `]}`
)

// Tools are all tools that can be connected: the one table of what is connected to
// what. testdata/README.md says where each format is from.
//
// Where a tool could run hooks without waiting for them, it is not told to: Claude
// Code kills what still runs when a session without a terminal ends, and starts the
// hooks of the next event before. What somebody has run at the ends of a turn may
// take a minute. Where a turn fails it is not run, but with the next end: "claude
// -p" kills hooks then.
func Tools() []Tool {
	return []Tool{{
		Name: "claude", Title: "Claude Code",
		Note:     "sessions that are open already may not use the hooks before they are started again",
		programs: []string{"claude"},
		home:     below("CLAUDE_CONFIG_DIR", "", ".claude"), project: ".claude", file: "settings.json",
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
		edit: settings{source: "claude", form: groupForm, events: slices.Concat(
			on(5, "UserPromptSubmit", "PostToolUse", "PostToolUseFailure", "SubagentStart"),
			[]event{{"SubagentStop", 5, 0, `{"matcher": ".+", "hooks": [` + hookForm + `]}`}},
			ends(5, 60, "Stop", "PreCompact"), on(5, "StopFailure", "PostCompact"), ends(1, 10, "SessionEnd"))},
	}, {
		Name: "codex", Title: "Codex",
		programs: []string{"codex"},
		home:     below("CODEX_HOME", "", ".codex"), project: ".codex", file: "hooks.json",
		blockers: []blocker{{"config.toml", []string{"features", "hooks"}, false}},
		// Of a SessionEnd with more than 3 s it would warn at each start.
		edit: settings{source: "codex", form: groupForm, events: slices.Concat(
			on(5, "UserPromptSubmit", "PostToolUse", "SubagentStop", "PostCompact"),
			ends(5, 60, "Stop", "PreCompact"), ends(3, 3, "SessionEnd"))},
	}, {
		Name: "cursor", Title: "Cursor",
		Note:     "where Cursor is set to run Claude Code's hooks too, connect only one of the two",
		programs: []string{"cursor", "cursor-agent"},
		home:     below("", "", ".cursor"), project: ".cursor", file: "hooks.json",
		// postToolUse has what afterShellExecution, afterMCPExecution and
		// afterFileEdit have: with these, everything would be there twice.
		edit: settings{source: "cursor", version: 1, form: `{"command": COMMAND, "timeout": SECONDS}`, events: slices.Concat(
			on(5, "postToolUse", "postToolUseFailure", "afterAgentResponse", "subagentStop"),
			ends(5, 60, "stop", "preCompact", "sessionEnd"))},
	}, {
		Name: "gemini", Title: "Gemini CLI",
		programs: []string{"gemini"},
		home:     below("GEMINI_CLI_HOME", ".gemini", ".gemini"), project: ".gemini", file: "settings.json",
		blockers: []blocker{
			{"settings.json", []string{"hooksConfig", "enabled"}, false},
			{"settings.json", []string{"hooksConfig", "disabled"}, "spool-agent"},
		},
		// AfterAgent has the prompt as well. PreCompress comes before each request
		// to the model, whether or not anything is compressed. Timeouts are in
		// milliseconds.
		edit: settings{source: "gemini",
			form:   `{"hooks": [{"type": "command", "command": COMMAND, "name": "spool-agent", "timeout": SECONDS000}]}`,
			events: slices.Concat(on(5, "AfterTool"), ends(5, 60, "AfterAgent"), ends(1, 10, "SessionEnd"))},
	}, {
		Name: "opencode", Title: "OpenCode",
		Note:     "OpenCode loads the plugin when it starts",
		programs: []string{"opencode"},
		home:     below("XDG_CONFIG_HOME", "opencode", ".config/opencode"), project: ".opencode", file: "plugins/spool-agent.js",
		edit: whole(plugin),
	}, {
		Name: "qwen", Title: "Qwen Code",
		programs: []string{"qwen"},
		home:     below("QWEN_HOME", "", ".qwen"), project: ".qwen", file: "settings.json",
		blockers: []blocker{{"settings.json", []string{"disableAllHooks"}, true}},
		// UserPromptSubmit also comes, with an empty prompt, whenever tools have run.
		// But no other event has the prompt.
		edit: settings{source: "qwen", form: groupForm, events: slices.Concat(
			on(5, "UserPromptSubmit", "PostToolUse", "PostToolUseFailure", "SubagentStart", "SubagentStop", "StopFailure", "PostCompact"),
			ends(5, 60, "Stop", "PreCompact", "SessionEnd"))},
	}, {
		Name: "copilot", Title: "GitHub Copilot CLI",
		Note:     "VS Code runs these hooks and those of claude: if both are connected, switch one off in its chat.hookFilesLocations",
		programs: []string{"copilot"},
		home:     below("COPILOT_HOME", "", ".copilot"), project: ".github", file: "hooks/spool-agent.json",
		// Under these names events come in the form of Claude Code's. Only that of
		// SubagentStart has no name in it.
		blockers: []blocker{{"hooks/spool-agent.json", []string{"disableAllHooks"}, true}},
		edit: settings{source: "copilot", version: 1, form: `{"type": "command", "command": COMMAND, "timeoutSec": SECONDS}`, events: slices.Concat(
			on(5, "UserPromptSubmit", "PostToolUse", "PostToolUseFailure", "SubagentStop", "ErrorOccurred"),
			ends(5, 60, "Stop", "PreCompact", "SessionEnd"))},
	}, {
		Name: "windsurf", Title: "Windsurf",
		programs: []string{"windsurf"},
		home:     below("", "", ".codeium/windsurf"), project: ".windsurf", file: "hooks.json",
		// No event has the prompt after the fact. A hook has no timeout.
		edit: settings{source: "windsurf", form: `{"command": COMMAND}`, events: slices.Concat(
			on(5, "pre_user_prompt", "post_write_code", "post_run_command", "post_mcp_tool_use"), ends(5, 60, "post_cascade_response"))},
	}, {
		Name: "droid", Title: "Factory Droid",
		programs: []string{"droid"},
		home:     below("FACTORY_HOME_OVERRIDE", ".factory", ".factory"), project: ".factory", file: "settings.json",
		// A hooks.json beside the settings counts in their place.
		blockers: []blocker{{"settings.json", []string{"hooksDisabled"}, true}, {"hooks.json", nil, nil}},
		edit: settings{source: "droid", form: groupForm, events: slices.Concat(
			on(5, "UserPromptSubmit", "PostToolUse", "SubagentStop"), ends(5, 60, "Stop", "PreCompact", "SessionEnd"))},
	}, {
		Name: "goose", Title: "Goose",
		programs: []string{"goose"},
		home:     below("", "", ".agents"), project: ".agents", file: "plugins/spool-agent/hooks/hooks.json",
		edit: settings{source: "goose", form: groupForm, events: append(
			on(5, "UserPromptSubmit", "PostToolUse", "PostToolUseFailure"), ends(5, 60, "Stop", "SessionEnd")...)},
	}, {
		Name: "kiro", Title: "Kiro",
		programs: []string{"kiro-cli", "kiro"},
		home:     below("KIRO_HOME", "", ".kiro"), project: ".kiro", file: "hooks/spool-agent.json",
		edit: whole(kiroHooks()),
	}, {
		Name: "kimi", Title: "Kimi Code CLI",
		programs: []string{"kimi"},
		home:     below("KIMI_CODE_HOME", "", ".kimi-code"), file: "config.toml",
		// A name that its version does not know would keep it from starting: these
		// are those of the first one.
		edit: tables{"kimi", []string{"UserPromptSubmit", "PostToolUse", "PostToolUseFailure", "SubagentStart", "SubagentStop",
			"Stop", "StopFailure", "PreCompact", "PostCompact", "SessionEnd"}},
	}, {
		Name: "cline", Title: "Cline",
		Note:     "in VS Code, hooks must be enabled in Cline's settings, and where 'xdg-user-dir DOCUMENTS' does not print ~/Documents, it finds only those of a project",
		programs: []string{"cline"},
		home:     below("", "", documentsDir+"/Cline/Hooks"), project: ".clinerules/hooks",
		// The extension has no TaskError, and passes it over.
		scripts: []string{"UserPromptSubmit", "PostToolUse", "PreCompact", "TaskComplete", "TaskCancel", "TaskError"},
		edit:    script{"cline"},
	}, {
		Name: "antigravity", Title: "Google Antigravity",
		Note:     "a project that is no git work tree needs a .spool first: 'agent add DIR'. 'agy -p' runs a project's hooks only where --add-dir names it",
		programs: []string{"agy"},
		project:  ".agents", file: "hooks.json",
		blockers: []blocker{{"hooks.json", []string{"spool-agent", "enabled"}, false}},
		// Hooks run in the directory of their file: those of the user do not know the
		// project. An empty answer to PreToolUse is a refusal, and PreInvocation comes
		// before each request to the model.
		edit: settings{source: "antigravity", under: "spool-agent", form: hookForm, events: append(
			[]event{{"PostToolUse", 5, 0, `{"matcher": "*", "hooks": [` + hookForm + `]}`}}, ends(5, 60, "Stop")...)},
	}, {
		Name: gitName, Title: "git",
		programs: []string{"git"},
		edit:     block{},
	}}
}

// kiroHooks is a file of hooks for all of Kiro's agents.
func kiroHooks() string {
	var hooks []string
	for _, trigger := range []string{"UserPromptSubmit", "PostToolUse", "Stop"} {
		hooks = append(hooks, fmt.Sprintf(`{"name": "spool-agent %s", "trigger": %q, "action": {"type": "command", "command": %s}, "timeout": 5}`,
			trigger, trigger, quoted(command(runtime.GOOS, program(), "kiro"))))
	}
	return "{\"version\": \"v1\", \"hooks\": [\n  " + strings.Join(hooks, ",\n  ") + "\n]}\n"
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
	if !ok || runtime.GOOS == "windows" || !slices.ContainsFunc(edit.events, func(e event) bool { return e.then > 0 }) {
		return t, errors.New("cannot run a command at the end of a turn")
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

// OfRepository reports whether the tool's hooks are those of one repository.
func (t Tool) OfRepository() bool { return t.Name == gitName }

// OfProject reports whether the tool's hooks are those of one project or
// repository, which must be named.
func (t Tool) OfProject() bool { return t.home == nil }

// GitHooks are the names of the hooks of git that are connected.
func GitHooks() []string { return slices.Clone(gitHooks[:]) }
