package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"spoolagent/agent/registry"
	"spoolagent/configs"
	"spoolagent/spoolfiles"
)

// projectsCommand is a command that does the same for each of several projects.
func projectsCommand(o *options, cmd *cobra.Command, each func(ctx context.Context, dir string) error) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.ValidArgsFunction = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dirs, err := o.directories(args)
		if err != nil {
			return err
		}
		var errs []error
		for _, dir := range dirs {
			errs = append(errs, each(cmd.Context(), dir))
		}
		return errors.Join(errs...)
	}
	return cmd
}

func addCommand(o *options) *cobra.Command {
	return projectsCommand(o, &cobra.Command{
		Use:   "add [DIR]...",
		Short: "Have a project served from now on",
		Long: `Registers a project, so that the agent of this user serves it from now on, and
makes its .spool. Without DIR it is the project of the working directory. A
project is also registered by its first drop, and by that after it was moved.`,
	}, add)
}

func add(ctx context.Context, dir string) error {
	reg, err := projectRegistry()
	if err != nil {
		return err
	}
	sp, err := spoolfiles.Create(dir)
	if err != nil {
		return err
	}
	defer sp.Close()
	added, err := reg.AddSpool(sp, false)
	if err != nil {
		return err
	}
	word := "added"
	if !added {
		word = "is registered already:"
	}
	prospect := "no agent is running; 'agent setup' has one run from now on"
	if pid := userAgent(); pid != 0 {
		prospect = fmt.Sprintf("the agent (pid %d) serves it", pid)
	}
	fmt.Fprintf(os.Stderr, "%s %s; %s\n", word, place(dir), prospect)
	return nil
}

func removeCommand(o *options) *cobra.Command {
	var gone bool
	cmd := projectsCommand(o, &cobra.Command{
		Use:   "remove [DIR]... | --gone",
		Short: "Have a project not served any more",
		Long: `Undoes 'agent add'. The agent ceases to serve the project at once; its .spool
stays as it is, and can still be drained; later drops do not register it again.
Without DIR it is the project of the working directory; DIR need not exist. With
--gone, it is every registered project whose directory does not exist.`,
	}, func(_ context.Context, dir string) error { return remove(o, dir) })
	removeNamed := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !gone {
			return removeNamed(cmd, args)
		}
		reg, err := projectRegistry()
		if err != nil || len(args)+len(o.projects) > 0 {
			return cmp.Or(err, usage("--gone takes no project"))
		}
		all, err := reg.List()
		for _, r := range all {
			if _, serr := os.Stat(r.Path); r.Err == nil && errors.Is(serr, fs.ErrNotExist) {
				err = errors.Join(err, remove(o, r.Path))
			}
		}
		return err
	}
	cmd.Flags().BoolVar(&gone, "gone", false, "remove every registered project whose directory does not exist")
	return cmd
}

func remove(o *options, dir string) error {
	reg, err := projectRegistry()
	if err != nil {
		return err
	}
	removed, err := reg.Remove(dir)
	for _, name := range removed {
		fmt.Fprintf(os.Stderr, "removed %s; a .spool in it stays as it is\n", place(name))
	}
	c, cerr := o.load()
	switch {
	case err != nil:
		return err
	case cerr != nil: // what is registered can be removed all the same
		return fmt.Errorf("whether the configuration names it as well is not known: %w", cerr)
	case slices.Contains(configured(c), dir):
		return fmt.Errorf("%s is named by 'projects' in the configuration; remove it there", place(dir))
	case len(removed) == 0:
		fmt.Fprintf(os.Stderr, "%s was not registered\n", place(dir))
	}
	return nil
}

func listCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [--json]",
		Short: "List the projects that are served",
		Long: `Lists the projects that the agent of this user serves, whether it runs now or
not, one path a line: those that are registered, by 'agent add' or by a hook, and
those that the configuration names. With --json, also which of these.`,
		RunE: func(*cobra.Command, []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			reg, err := projectRegistry()
			if err != nil {
				return err
			}
			projects, err := listed(c, reg)
			if err != nil {
				complain(err)
			}
			if asJSON {
				return printJSON(namedBy(projects, c, reg))
			}
			for _, p := range projects {
				if _, err := fmt.Println(safe(p)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array")
	return cmd
}

// namedProject is a project, and what names it.
type namedProject struct {
	Path       string `json:"path"`
	Registered bool   `json:"registered"`
	Configured bool   `json:"configured"`
}

func namedBy(projects []string, c configs.Config, reg registry.Registry) []namedProject {
	entries, _ := reg.List() // what is wrong with it has been said
	inConfig := configured(c)
	all := make([]namedProject, len(projects))
	for i, p := range projects {
		registered := slices.ContainsFunc(entries, func(e registry.Entry) bool { return e.Err == nil && e.Path == p })
		all[i] = namedProject{p, registered, slices.Contains(inConfig, p)}
	}
	return all
}

func offCommand(o *options) *cobra.Command {
	return projectsCommand(o, &cobra.Command{
		Use:   "off [DIR]...",
		Short: "Have hooks store nothing in a project",
		Long: `Switches recording off in a project: hooks and 'agent drop' store nothing there,
and succeed. What waits can be drained. 'agent on' switches it on again. Without
DIR it is the project of the working directory; it gets a .spool.`,
	}, func(_ context.Context, dir string) error { return switchRecording(dir, true, spoolfiles.Create) })
}

func onCommand(o *options) *cobra.Command {
	return projectsCommand(o, &cobra.Command{
		Use:   "on [DIR]...",
		Short: "Undo off",
		Long:  `Undoes 'agent off': hooks and 'agent drop' store what they are given again.`,
	}, func(_ context.Context, dir string) error { return switchRecording(dir, false, spoolfiles.OpenExisting) })
}

// switchRecording switches recording off or on in a project, as far as it has a
// spool that open opens.
func switchRecording(dir string, off bool, open func(string) (*spoolfiles.Spool, error)) error {
	changed := false
	sp, err := open(dir)
	if err == nil {
		defer sp.Close()
		if changed = sp.Off() != off; changed && off {
			err = sp.Root.WriteFile(spoolfiles.OffName, nil, sp.Tmp, false)
		} else if changed {
			err = sp.Root.Remove(spoolfiles.OffName)
		}
	} else if _, gone := os.Stat(dir); !off && gone == nil && errors.Is(err, fs.ErrNotExist) {
		err = nil // without a spool it is on
	}
	if err != nil {
		return err
	}
	verb := map[bool]string{true: "is", false: "was"}[changed]
	state := map[bool]string{true: "off", false: "on"}[off]
	fmt.Fprintln(os.Stderr, "recording", verb, state, "in", place(dir))
	return nil
}
