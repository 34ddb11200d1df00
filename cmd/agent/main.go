// Command agent folds what hooks leave in projects' spools, and drains it. See
// the module's README; this package is only its command line.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// complain prints an error. Its further lines are indented, such as those of joined
// errors, or a command; but what has a path with a line feed in it is one line.
func complain(err error) {
	text := err.Error()
	var p *fs.PathError
	if plain := strings.ReplaceAll(text, "\n", " "); safe(plain) != plain || errors.As(err, &p) && strings.Contains(p.Path, "\n") {
		text = safe(strings.ReplaceAll(text, "\n", "; "))
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", called(), named(strings.ReplaceAll(text, "\n", "\n  ")))
}

func newRoot(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:     called(),
		Version: fmt.Sprintf("%s %s/%s %s", version(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		Short:   "Collects the signals of AI coding tools' hooks, and hands them to a consumer",
		Long: `Hooks of AI coding tools leave signals in a project's .spool directory; the
agent folds them into a queue; a consumer drains the queue. To begin: 'agent
setup'. To see how it goes: 'agent status'.

The project is --project DIR, else the nearest directory upwards from the
working directory that has a .spool or is the top of a git work tree, else the
working directory. The configuration is --config FILE, else
$XDG_CONFIG_HOME/spool-agent/config.toml.

Exit status: 0 done, 1 failed or (status, doctor) something needs attention,
2 usage, 3 (status) no agent is running, 4 (drain) timed out, nothing was taken.`,
		Example: `  agent setup
  agent drop --tool me --payload 'a remark'
  agent drain >signals.jsonl     take all signals of a project`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
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
			setupCommand(o), installCommand(o), uninstallCommand(), startCommand(), stopCommand(), restartCommand(),
			hooksCommand(o), addCommand(o), removeCommand(o), listCommand(o), offCommand(o), onCommand(o), doctorCommand(o),
		}},
		{"Other:", []*cobra.Command{runCommand(o), printCommand(), versionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
			root.AddCommand(c)
		}
		root.SetHelpCommandGroupID(g.title) // these two belong to the last
		root.SetCompletionCommandGroupID(g.title)
	}
	root.SetFlagErrorFunc(flagError)
	complete(root)
	return root
}

// called is the name by which this program was called. Where another program has
// the short one, it is the long one.
func called() string {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "spool-agent" {
		return "spool-agent"
	}
	return "agent"
}

// named is a message in which our commands, which all of them call by the short
// name, have the name by which this program was called.
func named(message string) string {
	name := called()
	if name == "agent" {
		return message
	}
	return commands().ReplaceAllString(message, "${1}"+name+" $2")
}

// commands matches them where they stand alone or are quoted.
var commands = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)(^ *|['(]|[:;,&] )agent (setup|install|uninstall|start|stop|restart|status|doctor|drain|peek|` +
		`drop|add|remove|list|on|off|hooks|run|print|version|completion|--)`)
})

// complete gives a command and those below it what all have.
func complete(cmd *cobra.Command) {
	cmd.Use, cmd.Long, cmd.Example = named(cmd.Use), named(cmd.Long), named(cmd.Example)
	cmd.DisableFlagsInUseLine = cmd.HasParent()
	if cmd.Args == nil {
		cmd.Args = noArguments
	}
	for _, c := range cmd.Commands() {
		complete(c)
	}
}

// meant names the words that may have been meant by another one. Cobra knows how
// near words are, but only tells it of commands.
func meant(word string, words []string) string {
	c := &cobra.Command{}
	for _, w := range words {
		c.AddCommand(&cobra.Command{Use: w, Run: func(*cobra.Command, []string) {}})
	}
	for c.SuggestionsMinimumDistance = 1; c.SuggestionsMinimumDistance <= 2; c.SuggestionsMinimumDistance++ {
		if near := c.SuggestionsFor(word); len(near) > 0 {
			return fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
		}
	}
	return ""
}

// noCommand says of the arguments of a command that only has others that they
// name none.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var words []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			words = append(words, c.Name())
		}
	}
	instead := meant(args[0], words)
	if instead == "" && cmd.HasParent() { // of the root there are many
		instead = "; there are " + strings.Join(words, ", ")
	}
	return fmt.Errorf("unknown command %q%s", args[0], instead)
}

// noArguments is cobra.NoArgs, in other words: an argument is no unknown command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument such as %q", cmd.Name(), args[0])
	}
	return nil
}

// flagError says more of what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		var words []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { words = append(words, "--"+f.Name) })
		return fmt.Errorf("%w%s", err, meant("--"+unknown.GetSpecifiedName(), words))
	case errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "duration":
		return fmt.Errorf("--%s %s: a time is such as 5s, 500ms or 2m", invalid.GetFlag().Name, invalid.GetValue())
	}
	return err
}
