package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/configs"
	"spoolagent/configs/hooks"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

func peekCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "peek [--json]",
		Short: "Print the queue, and leave it as it is",
		Long: `Prints the signals of the queue, oldest first, and changes nothing: on a terminal
a line for people, elsewhere and with --json JSON Lines. Lines of the queue that
are no signals are named on standard error. Drops that have not been folded yet
are not in the queue.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sp, q, err := o.openQueue(spoolfiles.OpenExisting)
			if sp == nil {
				return err
			}
			defer sp.Close()
			out := bufio.NewWriter(os.Stdout)
			some := false
			each := func(s signal.Signal) error {
				some = true
				_, err := out.WriteString(lineOf(s, asJSON) + "\n")
				return err
			}
			malformed := func(n int, err error) {
				complain(fmt.Errorf("warning: line %d of the queue is no signal: %w", n, err))
			}
			err = errors.Join(q.Peek(cmd.Context(), each, malformed), out.Flush())
			if err == nil && !some && !asJSON {
				noteNone()
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON Lines, also on a terminal")
	return cmd
}

// noteNone tells a person, who sees nothing, that there is nothing.
func noteNone() {
	if onTerminal(os.Stdout) {
		fmt.Fprintln(os.Stderr, "no signals")
	}
}

// lineOf is a signal as standard output shall have it: for people if that is a
// terminal, else as JSON.
func lineOf(s signal.Signal, asJSON bool) string {
	if width, _ := terminalSize(os.Stdout); width > 0 && !asJSON {
		return readable(s, width)
	}
	return string(s.AppendLine(nil))
}

// printSignals copies lines of the queue, all of which are signals, to standard
// output.
func printSignals(lines io.Reader, asJSON bool) error {
	if asJSON || !onTerminal(os.Stdout) {
		_, err := io.Copy(os.Stdout, lines)
		return err
	}
	in := bufio.NewReader(lines)
	for some := false; ; some = true {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && !some && len(line) == 0 {
			noteNone()
		}
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		text := string(bytes.TrimSuffix(line, []byte("\n")))
		if s, err := signal.ParseLine(line); err == nil {
			text = lineOf(s, false)
		}
		if _, err := fmt.Println(text); err != nil {
			return err
		}
	}
}

// readable is a signal in one line of at most width characters: when, where from,
// and the gist.
func readable(s signal.Signal, width int) string {
	var payload string
	if s.Payload != nil {
		payload = *s.Payload
	}
	var event map[string]any
	json.Unmarshal([]byte(payload), &event) // other text is the gist as it is
	from, _ := event["spool_source"].(string)
	what, _ := event["hook_event_name"].(string)
	if s.ToolName != nil {
		what = *s.ToolName
	}
	from = strings.TrimSpace(from + " " + what)
	text := gist(event)
	if text == "" {
		text = payload
	}
	when := time.Unix(int64(s.RecordedAt), 0).Format(time.Stamp)
	line := []rune(fmt.Sprintf("%s  %-18s  %s", when, safe(from), safe(strings.Join(strings.Fields(text), " "))))
	if len(line) > width {
		line = append(line[:width-1], '…')
	}
	return strings.TrimSpace(string(line))
}

// gist is what says most of an event: the first of these members that has text.
func gist(event map[string]any) string {
	for _, name := range []string{"prompt", "initial_prompt", "command", "command_line", "file_path", "filePath", "path",
		"message", "last_assistant_message", "compact_summary", "subject", "tool_input", "toolArgs", "tool_info", "args",
		"error", "reason", "source"} {
		switch v := event[name].(type) {
		case string:
			if v != "" {
				return v
			}
		case map[string]any:
			if text := gist(v); text != "" {
				return text
			}
		}
	}
	return ""
}

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
  mkdir -p ~/.config/spool-agent && agent print config >~/.config/spool-agent/config.toml`,
		ValidArgs: slices.Sorted(maps.Keys(texts)),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && texts[args[0]] != nil {
				return nil
			}
			return fmt.Errorf("print one of %s", strings.Join(slices.Sorted(maps.Keys(texts)), ", "))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), texts[args[0]]())
			return err
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
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
