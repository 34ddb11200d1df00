package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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
tool call, at the end of a turn or a session, and so on. The hooks run spool-hook,
and where that is missing a shell script (OpenCode: a plugin), not this program.
They cannot block or fail the tool.

The settings are the user's, or with --project DIR those of a project. git's
hooks are always those of one repository: DIR, or where you are.`,
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

func hooksListCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [--json]",
		Short: "Show which tools are here, and which are connected",
		Long: `Shows for each tool whether it is here, and whether it is connected: for you
(user), in the project, or not. It is here if its program is in your PATH. "partly"
says that some of its hooks are missing, "outdated" that they are not those of this
version, "gone" that somebody else has taken them out; to install again fixes these.
"off" says that a setting of the tool keeps them from running; it is named. The
other projects in which a tool was connected are shown as well.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			setup, err := hooks.New(configs.Hook())
			if err != nil {
				return err
			}
			project, err := o.project()
			if err != nil {
				return err
			}
			list := listHooks(cmd.Context(), setup, project)
			if asJSON {
				return printJSON(list)
			}
			return printHooks(os.Stdout, list, project, painter(inColour(os.Stdout)))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func hooksInstallCommand(o *options) *cobra.Command {
	var then string
	plan := func(s *hooks.Setup, ctx context.Context, t hooks.Tool, project string) (*hooks.Plan, error) {
		if then != "" {
			var err error
			if t, err = t.Then(then); err != nil {
				return nil, err
			}
		}
		return s.Install(ctx, t, project)
	}
	cmd := hooksEditCommand(o, &cobra.Command{
		Use:   "install [TOOL...] [--then COMMAND] [--project DIR] [--dry-run]",
		Short: "Connect tools",
		Long: `Adds our hooks to the settings of the tools, or without a name to those of all
tools whose programs are in your PATH, but for git. Those of an older version are
replaced, and all else is left as it is, to the byte. Before the first change, a
copy of the file is kept beside it.

With --then, the hooks at the ends of a turn or a session and before a compaction
run COMMAND as well, once their signal is stored, and the tool waits for it: up to
a minute, at the end of a session less. COMMAND is run by sh in the directory of
the hook, perhaps without ~/.local/bin in its PATH, and has no input. What it
prints and its exit status go nowhere. To install again without --then keeps it;
to uninstall ends it.`,
		Example: `  agent hooks install claude codex --dry-run
  agent hooks install gemini --project .
  agent hooks install claude --then '~/.local/bin/spool-agent drain -- sh ~/digest.sh "$CLAUDE_PROJECT_DIR"/digest.md'`,
	}, plan, "connected", "is connected already", here)
	cmd.Flags().StringVar(&then, "then", "", "have the hooks at the ends of a turn run `COMMAND`, too")
	return cmd
}

func hooksUninstallCommand(o *options) *cobra.Command {
	return hooksEditCommand(o, &cobra.Command{
		Use:   "uninstall TOOL... [--project DIR] [--dry-run]",
		Short: "Disconnect tools",
		Long: `Takes our hooks out of the settings of the tools. If nobody else has changed the
file since, it becomes again what it was. The program and the scripts go with the last tool.`,
	}, (*hooks.Setup).Uninstall, "disconnected", "is not connected", nil)
}

type planner func(*hooks.Setup, context.Context, hooks.Tool, string) (*hooks.Plan, error)

// here are the tools whose programs are in PATH, but for git, whose hooks are
// those of a repository.
func here() (names []string) {
	for _, t := range hooks.Tools() {
		if t.Here() && !t.OfRepository() {
			names = append(names, t.Name)
		}
	}
	return names
}

// hooksEditCommand is a command that plans and applies a change for each tool that
// is named, or for those that all returns.
func hooksEditCommand(o *options, cmd *cobra.Command, plan planner, done, nothing string, all func() []string) *cobra.Command {
	var dry bool
	cmd.ValidArgsFunction = completeTools(len(hooks.Tools()))
	cmd.Args = onlyTools
	if all == nil {
		cmd.Args = cobra.MatchAll(cobra.MinimumNArgs(1), onlyTools)
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would change, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			if args = all(); len(args) == 0 {
				return errors.New("no program of a tool is in your PATH; name the tools to connect")
			}
			fmt.Fprintf(os.Stderr, "in your PATH: %s\n", strings.Join(args, ", "))
		}
		setup, err := hooks.New(configs.Hook())
		if err != nil {
			return err
		}
		var errs []error
		for _, name := range args {
			tool, _ := toolNamed(name)
			if err := editHooks(cmd.Context(), o, setup, tool, dry, plan, done, nothing); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		return errors.Join(errs...)
	}
	return cmd
}

func editHooks(ctx context.Context, o *options, setup *hooks.Setup, tool hooks.Tool, dry bool, plan planner, done, nothing string) error {
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
		fmt.Fprintf(os.Stderr, "%s: %s\n", tool.Name, named(safe(note)))
	}
	if dry {
		return printPlan(os.Stdout, os.Stderr, p)
	}
	if err := p.Apply(); err != nil {
		return err
	}
	if len(p.Changes) == 0 {
		done = nothing
	}
	fmt.Fprintf(os.Stderr, "%s: %s, in %s\n", tool.Name, done, place(p.File))
	for _, c := range p.Changes {
		if c.Backup != "" {
			fmt.Fprintf(os.Stderr, "%s: what it was is in %s\n", tool.Name, place(c.Backup))
		}
	}
	if tool.Note != "" && p.Connects() && len(p.Changes) > 0 {
		fmt.Fprintf(os.Stderr, "%s: %s\n", tool.Name, named(tool.Note))
	}
	if off := setup.Check(ctx, tool, project).Off; off != "" {
		fmt.Fprintf(os.Stderr, "%s: the hooks do not run: %s\n", tool.Name, safe(off))
	}
	return nil
}

func hooksPrintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "print TOOL",
		Short: "Print what belongs into a tool's settings",
		Long: `Prints our part of a tool's settings, to be put there by hand; for opencode the
plugin, for git a hook that may have any of the names ` + strings.Join(hooks.GitHooks(), ", ") + `.`,
		Example:           `  agent hooks print gemini`,
		ValidArgsFunction: completeTools(1),
		Args:              cobra.MatchAll(cobra.ExactArgs(1), onlyTools),
		RunE: func(cmd *cobra.Command, args []string) error {
			tool, _ := toolNamed(args[0])
			_, err := io.WriteString(cmd.OutOrStdout(), tool.Fragment())
			return err
		},
	}
}

// completeTools completes up to that many tools, each once.
func completeTools(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		for _, t := range hooks.Tools() {
			if len(args) < most && !slices.Contains(args, t.Name) {
				names = append(names, cobra.CompletionWithDesc(t.Name, t.Title))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func onlyTools(_ *cobra.Command, args []string) error {
	for _, name := range args {
		if _, ok := toolNamed(name); !ok {
			var names []string
			for _, t := range hooks.Tools() {
				names = append(names, t.Name)
			}
			return fmt.Errorf("unknown tool %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

func toolNamed(name string) (hooks.Tool, bool) {
	all := hooks.Tools()
	i := slices.IndexFunc(all, func(t hooks.Tool) bool { return t.Name == name })
	if i < 0 {
		return hooks.Tool{}, false
	}
	return all[i], true
}

// printPlan prints the changes of files that are not ours alone, line by line.
func printPlan(out, say io.Writer, p *hooks.Plan) error {
	w := bufio.NewWriter(out)
	for _, c := range p.Changes {
		switch {
		case c.Own && c.New == nil:
			fmt.Fprintf(say, "would remove %s\n", place(c.Path))
		case c.Own:
			fmt.Fprintf(say, "would write %s\n", place(c.Path))
		default:
			before, after := c.Path, c.Path
			if c.Old == nil {
				before = os.DevNull
			}
			if c.New == nil {
				after = os.DevNull
			}
			for line := range bytes.Lines(diff.Diff(before, c.Old, after, c.New)) {
				cells := strings.Split(strings.TrimSuffix(string(line), "\n"), "\t")
				for i := range cells {
					cells[i] = safe(cells[i])
				}
				fmt.Fprintln(w, strings.Join(cells, "\t"))
			}
		}
	}
	return w.Flush()
}

// hooksList is what "hooks list" shows.
type hooksList struct {
	Tools       []hooksTool  `json:"tools"`
	Connections []hooksState `json:"connections"` // of each tool the user's and the project's, connected or not, and those in other projects
	Scripts     []hooksState `json:"scripts"`     // and the program that all these run
}

type hooksTool struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Here  bool   `json:"here"`
}

type hooksState struct {
	Tool    string      `json:"tool,omitempty"`
	Project string      `json:"project,omitempty"` // none: the user's
	File    string      `json:"file"`
	State   hooks.State `json:"state"`
	Error   string      `json:"error,omitempty"`
	Off     string      `json:"off,omitempty"` // what keeps the hooks from running
}

func listHooks(ctx context.Context, setup *hooks.Setup, project string) hooksList {
	list := hooksList{Scripts: []hooksState{}}
	add := func(t hooks.Tool, project string, st hooks.Status) {
		same := func(s hooksState) bool { return s.Tool == t.Name && s.File == st.File }
		if st.File == "" || slices.ContainsFunc(list.Connections, same) {
			return // it cannot be connected there, or (at home) it is the user's
		}
		s := hooksState{Tool: t.Name, Project: project, File: st.File, State: st.State, Off: st.Off}
		if st.Err != nil {
			s.Error = st.Err.Error()
		}
		list.Connections = append(list.Connections, s)
	}
	connections := setup.Connections(ctx)
	for _, t := range hooks.Tools() {
		list.Tools = append(list.Tools, hooksTool{t.Name, t.Title, t.Here()})
		add(t, "", setup.Check(ctx, t, ""))
		add(t, project, setup.Check(ctx, t, project))
		for _, c := range connections {
			if c.Tool.Name == t.Name {
				add(t, c.Project, c.Status)
			}
		}
	}
	scripts := setup.Scripts(connections)
	for _, path := range slices.Sorted(maps.Keys(scripts)) {
		list.Scripts = append(list.Scripts, hooksState{File: path, State: scripts[path]})
	}
	return list
}

// printHooks prints the list for people.
func printHooks(out io.Writer, list hooksList, project string, p painter) error {
	table := []row{{bold, []string{"TOOL", "HERE", "CONNECTED", "SETTINGS"}}}
	var troubles []string
	for _, t := range list.Tools {
		here := map[bool]string{true: "yes", false: "no"}[t.Here]
		none := row{"", []string{t.Name, here, "no", ""}}
		rows := len(table)
		for _, s := range list.Connections {
			if s.Tool != t.Name {
				continue
			}
			if s.Error != "" {
				troubles = append(troubles, t.Name+": "+safe(s.Error))
			}
			if s.State == hooks.None {
				none.cells[3] = cmp.Or(none.cells[3], place(s.File))
				continue
			}
			where, shade := map[string]string{"": "user", project: "project"}[s.Project], green
			where = cmp.Or(where, "other project")
			if s.Off != "" {
				where, shade = where+" (off)", yellow
				troubles = append(troubles, fmt.Sprintf("%s: the hooks in %s do not run: %s", t.Name, place(s.File), safe(s.Off)))
			} else if s.State != hooks.Connected {
				where, shade = fmt.Sprintf("%s (%s)", where, s.State), yellow
				troubles = append(troubles, fmt.Sprintf("%s: the hooks in %s are %s; install them again", t.Name, place(s.File), s.State))
			}
			table = append(table, row{shade, []string{t.Name, here, where, place(s.File)}})
		}
		if len(table) == rows {
			table = append(table, none)
		}
	}
	for _, s := range list.Scripts {
		if s.State != hooks.Connected {
			state := strings.Replace(string(s.State), string(hooks.None), "missing", 1)
			troubles = append(troubles, fmt.Sprintf("%s is %s; install a tool again", place(s.File), state))
		}
	}
	lines := layTable(table, p)
	if len(troubles) > 0 {
		lines = append(append(lines, ""), troubles...)
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}
