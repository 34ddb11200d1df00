package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"spoolagent/configs"
	"spoolagent/configs/hooks"
)

func hooksCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hooks list|install|uninstall|print",
		Short: "Connect AI tools and git, so that they leave signals",
		Long: `Connects tools: puts hooks into their own settings, which leave a signal at each
tool call, at the end of a turn or a session, and so on. The hooks do not run this
program, and cannot block or fail the tool.

The settings are the user's, or with --project DIR those of a project. git's
hooks are always those of one repository: DIR, or where you are. Antigravity's
are those of one project: give --project DIR.`,
		Example: `  agent hooks list
  agent hooks install claude codex
  agent hooks install git --project ~/code/one`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usage("what about hooks? list, install, uninstall or print; see 'agent hooks --help'")
		},
	}
	cmd.AddCommand(hooksListCommand(o), hooksInstallCommand(o), hooksUninstallCommand(o), hooksPrintCommand())
	for _, c := range cmd.Commands() {
		c.DisableFlagsInUseLine = true
	}
	return cmd
}

func hooksInstallCommand(o *options) *cobra.Command {
	var then string
	cmd := hooksEditCommand(o, &cobra.Command{
		Use:   "install [TOOL...] [--then COMMAND] [--project DIR] [--dry-run]",
		Short: "Connect tools",
		Long: `Adds our hooks to the settings of the tools, or without a name to those of all
tools whose programs are in your PATH, but for git, and for antigravity unless you
name a project. Those of an older version are replaced, and all else is left as it
is, to the byte. Before the first change, a copy of the file is kept beside it.

With --then, the hooks at the ends of a turn or a session and before a compaction
run COMMAND as well, once their signal is stored, and the tool waits for it: up to
a minute, at the end of a session less. COMMAND is run by sh in the directory of
the hook, perhaps without ~/.local/bin in its PATH, and has no input. What it
prints and its exit status go nowhere. To install again without --then keeps it;
to uninstall ends it.`,
		Example: `  agent hooks install claude codex --dry-run
  agent hooks install gemini --project .
  agent hooks install claude --then '~/.local/bin/spool-agent drain -- sh ~/digest.sh "$CLAUDE_PROJECT_DIR"/digest.md'`,
	}, func(s *hooks.Setup, ctx context.Context, t hooks.Tool, project string) (*hooks.Plan, error) {
		if then != "" {
			var err error
			if t, err = t.Then(then); err != nil {
				return nil, err
			}
		}
		return s.Install(ctx, t, project)
	}, "connected", "is connected already")
	cmd.Flags().StringVar(&then, "then", "", "have the hooks at the ends of a turn run `COMMAND`, too")
	return cmd
}

func hooksUninstallCommand(o *options) *cobra.Command {
	cmd := hooksEditCommand(o, &cobra.Command{
		Use:   "uninstall TOOL... [--project DIR] [--dry-run]",
		Short: "Disconnect tools",
		Long: `Takes our hooks out of the settings of the tools. If nobody else has changed the
file since, it becomes again what it was. The program and the scripts go with the last tool.`,
	}, (*hooks.Setup).Uninstall, "disconnected", "is not connected")
	cmd.Args = tools(1, len(hooks.Tools()))
	return cmd
}

type planner func(*hooks.Setup, context.Context, hooks.Tool, string) (*hooks.Plan, error)

// hooksEditCommand is a command that plans and applies a change for each tool that
// is named, or for those that are here.
func hooksEditCommand(o *options, cmd *cobra.Command, plan planner, done, nothing string) *cobra.Command {
	var dry bool
	cmd.ValidArgsFunction = completeTools
	cmd.Args = tools(0, len(hooks.Tools()))
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would change, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			if args = o.here(); len(args) == 0 {
				return errors.New("no tool in your PATH can be connected in your settings; name the tools to connect")
			}
			fmt.Fprintf(os.Stderr, "in your PATH: %s\n", strings.Join(args, ", "))
		}
		setup, err := hooks.New(configs.Hook())
		if err != nil {
			return err
		}
		var errs []error
		for _, name := range args {
			tool, _ := hooks.Named(name)
			if err := editHooks(cmd.Context(), o, setup, tool, dry, plan, done, nothing); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		return errors.Join(errs...)
	}
	return cmd
}

// here are the tools whose programs are in PATH, but for git. It says how those are
// connected that need a project, if none is named.
func (o *options) here() (names []string) {
	for _, t := range hooks.Tools() {
		switch {
		case !t.Here() || t.OfRepository():
		case t.OfProject() && len(o.projects) == 0:
			fmt.Fprintf(os.Stderr, named("%s is connected project by project: 'agent hooks install %s --project DIR'\n"), t.Title, t.Name)
		default:
			names = append(names, t.Name)
		}
	}
	return names
}

func editHooks(ctx context.Context, o *options, setup *hooks.Setup, tool hooks.Tool, dry bool, plan planner, done, nothing string) error {
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", tool.Name, named(fmt.Sprintf(format, args...)))
	}
	// The project whose settings are meant; empty: the user's.
	project, err := "", error(nil)
	if len(o.projects) > 0 {
		project, err = o.project()
	} else if tool.OfRepository() {
		project, err = os.Getwd()
	}
	if err != nil {
		return err
	}
	p, err := plan(setup, ctx, tool, project)
	if err != nil {
		return err
	}
	for _, note := range p.Notes {
		say("%s", safe(note))
	}
	if dry {
		return printPlan(os.Stdout, os.Stderr, p)
	}
	if err := p.Apply(); err != nil {
		return err
	}
	if len(p.Changes) == 0 {
		say("%s, in %s", nothing, place(p.File))
	} else {
		say("%s, in %s", done, place(p.File))
	}
	for _, c := range p.Changes {
		if c.Backup != "" {
			say("a copy of the settings as they were is in %s", place(c.Backup))
		}
	}
	st := setup.Check(ctx, tool, project)
	if tool.Note != "" && st.State == hooks.Connected && len(p.Changes) > 0 {
		say("%s", tool.Note)
	}
	if st.Off != "" && !slices.Contains(p.Notes, st.Off) {
		say("the hooks do not run: %s", safe(st.Off))
	}
	return nil
}

func hooksPrintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "print TOOL",
		Short: "Print what belongs into a tool's settings",
		Long: `Prints our part of a tool's settings, to be put there by hand; for opencode the
plugin, for git a hook that may have any of the names ` + strings.Join(hooks.GitHooks(), ", ") + `,
and for cline what an executable file with the name of an event has.`,
		Example:           `  agent hooks print gemini`,
		ValidArgsFunction: completeTools,
		Args:              tools(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tool, _ := hooks.Named(args[0])
			_, err := io.WriteString(cmd.OutOrStdout(), tool.Fragment())
			return err
		},
	}
}

func completeTools(_ *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	for _, t := range hooks.Tools() {
		if !slices.Contains(args, t.Name) {
			names = append(names, cobra.CompletionWithDesc(t.Name, t.Title))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// tools checks that the arguments are tools, and how many.
func tools(least, most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		var names []string
		for _, t := range hooks.Tools() {
			names = append(names, t.Name)
		}
		for _, name := range args {
			if !slices.Contains(names, name) {
				return fmt.Errorf("unknown tool %q; there are %s", name, strings.Join(names, ", "))
			}
		}
		if len(args) < least || len(args) > most {
			return fmt.Errorf("name one of %s", strings.Join(names, ", "))
		}
		return nil
	}
}

// printPlan prints what would be done, and how files that are not ours alone would
// change.
func printPlan(out, say io.Writer, p *hooks.Plan) error {
	w := bufio.NewWriter(out)
	for _, c := range p.Changes {
		verb := "write"
		if c.New == nil {
			verb = "remove"
		}
		fmt.Fprintf(say, "would %s %s\n", verb, place(c.Path))
		if c.Own {
			continue
		}
		_, text, _ := bytes.Cut(diff.Diff(c.Path, c.Old, c.Path, c.New), []byte("\n")) // without the command's name
		for line := range bytes.Lines(text) {
			fmt.Fprintln(w, safe(strings.ReplaceAll(strings.TrimSuffix(string(line), "\n"), "\t", "    ")))
		}
	}
	return w.Flush()
}
