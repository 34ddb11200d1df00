// Package configs has what a user puts in place by hand or by command: the
// sample configuration and the shell scripts, all of them embedded so that
// commands can print them, and the reading of the configuration itself.
//
// The files, and where they belong:
//
//   - config.toml: every setting at its default, commented. As
//     $XDG_CONFIG_HOME/spool-agent/config.toml.
//   - hook.sh: a producer, which stores its standard input as a drop. As
//     ~/.local/share/spool-agent/hook.sh; it need not be executable.
//   - consume.sh: a consumer, which drains through a running agent. Anywhere.
//
// Package configs/hooks connects AI tools and git to spool-hook and hook.sh.
package configs

import _ "embed"

var (
	//go:embed hook.sh
	hook string
	//go:embed consume.sh
	consumer string
	//go:embed config.toml
	sampleConfig string
)

// Hook is hook.sh, the POSIX shell script that stores its standard input as a drop.
func Hook() string { return hook }

// Consumer is consume.sh, the POSIX shell script that drains a project through
// the agent that serves it.
func Consumer() string { return consumer }

// SampleConfig is config.toml, the commented sample configuration.
func SampleConfig() string { return sampleConfig }
