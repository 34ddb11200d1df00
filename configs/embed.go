// Package configs has what a user puts in place by hand or by command: the
// sample configuration, the shell scripts and a settings fragment, all of them
// embedded so that commands can print them, and the reading of the
// configuration itself. It imports nothing else of this module.
//
// The files, and where they belong:
//
//   - config.toml: every setting at its default, commented. As
//     $XDG_CONFIG_HOME/spool-agent/config.toml.
//   - hook.sh: a producer, which stores its standard input as a drop. As
//     ~/.local/share/spool-agent/hook.sh; it need not be executable.
//   - claude-settings.json: the "hooks" of Claude Code that run hook.sh from
//     there. To be merged into ~/.claude/settings.json, or into a project's
//     .claude/settings.json.
//   - consume.sh: a consumer, which drains through a running agent. Anywhere.
//
// The hooks in claude-settings.json are synchronous on purpose. They take a few
// milliseconds; and an asynchronous hook may be killed when a session without a
// terminal ends, has no time limit, and may store its drop only after the
// consumer of the next event has drained. Timeouts are in seconds; that of
// SessionEnd stays below the 1.5 s that all hooks of that event have together.
package configs

import _ "embed"

var (
	//go:embed hook.sh
	hook string
	//go:embed consume.sh
	consumer string
	//go:embed config.toml
	sampleConfig string
	//go:embed claude-settings.json
	claudeSettings string
)

// Hook is hook.sh, the POSIX shell script that stores its standard input as a drop.
func Hook() string { return hook }

// Consumer is consume.sh, the POSIX shell script that drains a project through
// the agent that serves it.
func Consumer() string { return consumer }

// SampleConfig is config.toml, the commented sample configuration.
func SampleConfig() string { return sampleConfig }

// ClaudeSettings is claude-settings.json, the fragment of Claude Code's
// settings.json that runs the hook.
func ClaudeSettings() string { return claudeSettings }
