// Command agent folds what hooks leave in projects' spools, and drains it. See
// the module's README; this package is only its command line, one file a verb.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
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
	var o options
	root := newRoot(&o)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		started = true
		return o.check(cmd)
	}
	root.SetArgs(args)

	// Looked for in the arguments as they are, for they may not parse.
	if slices.Contains(args, "drop") && slices.Contains(args, "--hook") {
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

// complain prints an error as one line.
func complain(err error) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", called(), named(oneLine(err)))
}

func newRoot(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:     called(),
		Version: fmt.Sprintf("%s %s/%s %s", version(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		Short:   "Collects the signals of AI coding tools' hooks, and hands them to a consumer",
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
		Args:                       noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(os.Stderr)
			cmd.Help()
			return &exit{status: exitUsage}
		},
	}
	root.SetVersionTemplate(called() + " {{.Version}}\n")
	o.addTo(root)
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"See and take what there is:", []*cobra.Command{statusCommand(o), drainCommand(o), peekCommand(o), dropCommand(o)}},
		{"Set up:", []*cobra.Command{
			installCommand(o), uninstallCommand(), startCommand(), stopCommand(), restartCommand(),
			hooksCommand(o), addCommand(o), removeCommand(o), listCommand(o), offCommand(o), onCommand(o), doctorCommand(o),
		}},
		{"Other:", []*cobra.Command{runCommand(o), printCommand(), versionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
			c.DisableFlagsInUseLine = true
			root.AddCommand(c)
		}
		root.SetHelpCommandGroupID(g.title) // these two belong to the last
		root.SetCompletionCommandGroupID(g.title)
	}
	nameAll(root)
	return root
}

// noCommand says of the arguments of a command that only has others that they
// name none.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q (did you mean %q?)", args[0], near[0])
	}
	return fmt.Errorf("unknown command %q", args[0])
}
