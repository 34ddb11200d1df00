package main

import (
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"spoolagent/configs"
	"spoolagent/configs/hooks"
)

func printCommand() *cobra.Command {
	texts := map[string]func() string{
		"hook":            configs.Hook,
		"consumer":        configs.Consumer,
		"config":          configs.SampleConfig,
		"claude-settings": claudeSettings,
		"git-hook":        hooks.GitHook,
	}
	names := slices.Sorted(maps.Keys(texts))
	return &cobra.Command{
		Use:   "print claude-settings|config|consumer|git-hook|hook",
		Short: "Print the sample configuration or a script",
		Long: `Prints a file that comes with the agent, to be put in its place by hand
('agent hooks install' does that for the hooks):

  hook             shell script for AI tools' hooks: stores its input as a drop
  git-hook         shell script for git's hooks, to stand beside hook.sh
  claude-settings  the part of Claude Code's settings.json that runs the hook,
                   as 'agent hooks print claude' does
  consumer         shell script that drains a project through a running agent
  config           sample configuration, every setting at its default`,
		Example: `  agent print hook >~/.local/share/spool-agent/hook.sh
  agent print config >~/.config/spool-agent/config.toml`,
		ValidArgs: names,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), texts[args[0]]())
			return err
		},
	}
}

func claudeSettings() string {
	tool, _ := toolNamed("claude")
	return tool.Fragment()
}
