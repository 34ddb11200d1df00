// Command agent folds what hooks leave in projects' spools, and drains it. See
// the module's README; this package is only its command line, one file a verb.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNoAgent  = 3
	exitTimedOut = 4
)

// exit is an error with an exit status of its own. Without an error in it,
// all has been said.
type exit struct {
	status int
	error
}

func (e *exit) Unwrap() error { return e.error }

func usage(format string, args ...any) error {
	return &exit{exitUsage, fmt.Errorf(format, args...)}
}

func execute(args []string) (status int) {
	started := false
	root := newRoot(args)
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetArgs(args)

	hook := forHook(args)
	if hook {
		// A tool may act on what its hook prints, or take its status 2 for a
		// veto; and it need not read what the hook has to complain about.
		root.SetOut(os.Stderr)
		signal.Ignore(syscall.SIGPIPE)
		defer func() {
			if r := recover(); r != nil {
				complain(fmt.Errorf("panic: %v", r))
			}
			status = exitDone
		}()
	}

	cmd, err := root.ExecuteC()
	var e *exit
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		if e.error != nil {
			complain(err)
		}
		return e.status
	case started:
		complain(err)
		return exitFailed
	}
	// Cobra's own errors all come before a command starts.
	complain(fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath()))
	return exitUsage
}

// forHook reports whether these arguments ask for drop --hook. It looks at
// them as they are, for they may not parse.
func forHook(args []string) bool {
	return slices.Contains(args, "drop") && slices.ContainsFunc(args, func(arg string) bool {
		value, given := strings.CutPrefix(arg, "--hook=")
		yes, err := strconv.ParseBool(value)
		return arg == "--hook" || given && yes && err == nil
	})
}

// complain prints an error as one line.
func complain(err error) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", called(), named(oneLine(err)))
}

// oneLine is an error's text, safe to print. Errors that were joined stand in
// lines of their own; a line feed elsewhere comes from a name, and is shown.
func oneLine(err error) string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return safe(err.Error())
	}
	var plain, texts []string
	for _, e := range joined.Unwrap() {
		plain = append(plain, e.Error())
		texts = append(texts, oneLine(e))
	}
	if strings.Join(plain, "\n") != err.Error() { // it wraps several, with words of its own
		return safe(err.Error())
	}
	return strings.Join(texts, "; ")
}

func newRoot(args []string) *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:   called(),
		Short: "Collects the signals of AI coding tools' hooks, and hands them to a consumer",
		Long: `Hooks of AI coding tools leave signals in a project's .spool directory; the
agent folds them into a queue; a consumer drains the queue.

To begin: 'agent install' makes the agent a service of yours, 'agent hooks
install' connects your tools, 'agent status' shows how it goes.

The project is --project DIR, else the nearest directory upwards from the
working directory that has a .spool or is the top of a git work tree, else the
working directory; 'agent doctor' says why. The configuration is --config FILE,
else $XDG_CONFIG_HOME/spool-agent/config.toml.

Exit status: 0 done, 1 failed or (status, doctor) something needs attention,
2 usage, 3 (status) no agent is running, 4 (drain) timed out, nothing was taken.`,
		Example: `  agent install && agent hooks install claude
  agent drop --tool me --payload 'a remark'
  agent drain >signals.jsonl     take all signals of a project`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return fmt.Errorf("unknown command %q (did you mean %q?)", args[0], near[0])
			}
			return fmt.Errorf("unknown command %q", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.version {
				return printVersion(cmd.OutOrStdout())
			}
			cmd.SetOut(os.Stderr)
			cmd.Help()
			return &exit{status: exitUsage}
		},
	}
	o.addTo(root)
	// A tool may wait for these two, which shall not wait for the others.
	quick := map[string]func(*options) *cobra.Command{"drop": dropCommand, "drain": drainCommand}
	if len(args) > 0 && quick[args[0]] != nil {
		root.CompletionOptions.DisableDefaultCmd = true
		only := quick[args[0]](&o)
		only.DisableFlagsInUseLine = true
		root.AddCommand(only)
		nameAll(root)
		return root
	}
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"See and take what there is:", []*cobra.Command{statusCommand(&o), drainCommand(&o), peekCommand(&o), dropCommand(&o)}},
		{"Set up:", []*cobra.Command{
			installCommand(&o), uninstallCommand(), startCommand(), stopCommand(), restartCommand(),
			hooksCommand(&o), addCommand(&o), removeCommand(&o), listCommand(&o), offCommand(&o), onCommand(&o), doctorCommand(&o),
		}},
		{"Other:", []*cobra.Command{runCommand(&o), printCommand(), versionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
			root.AddCommand(c)
		}
		root.SetHelpCommandGroupID(g.title) // these two belong to the last
		root.SetCompletionCommandGroupID(g.title)
	}
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		c.DisableFlagsInUseLine = true
		if c.Name() == "help" { // cobra's, which succeeds with what it does not know
			c.RunE = func(_ *cobra.Command, args []string) error { return help(root, args) }
			c.Run = nil
		}
		if !c.Runnable() { // cobra's completion, which is silent about a wrong shell
			c.RunE = func(*cobra.Command, []string) error { return usage("for which shell? bash, zsh, fish or powershell") }
		}
	}
	nameAll(root)
	return root
}

func help(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil || len(rest) > 0 {
		return usage("no help on %q; see 'agent --help'", strings.Join(args, " "))
	}
	cmd.InitDefaultHelpFlag()
	return cmd.Help()
}
