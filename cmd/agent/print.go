package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"spoolagent/configs"
	"spoolagent/configs/hooks"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

func printCommand() *cobra.Command {
	texts := map[string]func() string{
		"hook":     configs.Hook,
		"consumer": configs.Consumer,
		"config":   configs.SampleConfig,
		"git-hook": hooks.GitHook,
	}
	return &cobra.Command{
		Use:   "print config|consumer|git-hook|hook",
		Short: "Print the sample configuration or a script",
		Long: `Prints a file that comes with the agent, to be put in its place by hand
('agent hooks install' does that for the hooks):

  hook      shell script for AI tools' hooks: stores its input as a drop
  git-hook  shell script for git's hooks, to stand beside hook.sh
  consumer  shell script that drains a project through a running agent
  config    sample configuration, every setting at its default`,
		Example: `  agent print hook >~/.local/share/spool-agent/hook.sh
  agent print config >~/.config/spool-agent/config.toml`,
		ValidArgs: slices.Sorted(maps.Keys(texts)),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), texts[args[0]]())
			return err
		},
	}
}

func peekCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "peek",
		Short: "Print the queue, and leave it as it is",
		Long: `Prints the signals of the queue as JSON Lines, oldest first, and changes nothing.
Lines of the queue that are no signals are named on standard error. Drops that
have not been folded yet are not in the queue.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sp, q, err := o.openQueue(spoolfiles.OpenExisting)
			if sp == nil {
				return err
			}
			defer sp.Close()
			out := bufio.NewWriter(os.Stdout)
			each := func(s signal.Signal) error {
				_, err := out.Write(append(s.AppendLine(nil), '\n'))
				return err
			}
			malformed := func(n int, err error) {
				complain(fmt.Errorf("warning: line %d of the queue is no signal: %w", n, err))
			}
			return errors.Join(q.Peek(cmd.Context(), each, malformed), out.Flush())
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Println(called(), cmd.Root().Version)
			return err
		},
	}
}

// version is what the Go command noted in the binary: the tag, or else the commit.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return short(info.Main.Version)
	}
	return "(unknown)"
}

// short is a version without what the Go command puts around a commit that has no
// tag, as in v0.0.0-20251123000000-0123456789ab.
func short(version string) string {
	return regexp.MustCompile(`^v.*[-.]\d{14}-([0-9a-f]{7})[0-9a-f]{5}`).ReplaceAllString(version, "$1")
}
