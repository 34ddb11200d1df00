package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/spoolfiles"
)

// projectsCommand is a command that does the same for each of several projects.
func projectsCommand(o *options, cmd *cobra.Command, each func(dir string) error) *cobra.Command {
	cmd.ValidArgsFunction = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dirs, err := o.directories(args)
		if err != nil {
			return err
		}
		var errs []error
		for _, dir := range dirs {
			errs = append(errs, each(dir))
		}
		return errors.Join(errs...)
	}
	return cmd
}

func addCommand(o *options) *cobra.Command {
	return projectsCommand(o, &cobra.Command{
		Use:   "add [DIR]...",
		Short: "Have a project served from now on",
		Long: `Registers a project, so that the agent of this user serves it from now on: at
once if it runs, else when it is started. The project gets a .spool. Without DIR
it is the project of the working directory.

A project is registered by itself with its first drop, and again with its first
drop after it was moved or copied.`,
	}, add)
}

func add(dir string) error {
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
		word = "has been added before:"
	}
	prospect := "no agent runs yet: 'agent install' has one run from now on"
	if state, err := stateDir(); err == nil {
		if h, running, err := agent.User(state); err == nil && running {
			prospect = fmt.Sprintf("the agent (pid %d) serves it", h.PID)
		}
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
A directory that was added by several names is removed by all of them. Without
DIR it is the project of the working directory; DIR need not exist. With --gone,
it is every registered project whose directory does not exist.`,
	}, func(dir string) error { return remove(o, dir) })
	removeNamed := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !gone {
			return removeNamed(cmd, args)
		}
		if len(args)+len(o.projects) > 0 {
			return usage("--gone takes no project")
		}
		return removeGone()
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
		fmt.Fprintf(os.Stderr, "removed %s; its .spool is left as it is\n", place(name))
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

func removeGone() error {
	reg, err := projectRegistry()
	if err != nil {
		return err
	}
	all, err := reg.List()
	for _, r := range all {
		if _, serr := os.Stat(r.Path); r.Err != nil || !errors.Is(serr, fs.ErrNotExist) {
			continue
		}
		if _, err := reg.Remove(r.Path); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "removed %s\n", place(r.Path))
	}
	return err
}

func listCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [--json]",
		Short: "List the projects that are served",
		Long: `Lists the projects that the agent of this user serves, whether it runs now or
not: those that are registered, by 'agent add' or by a hook, and those that the
configuration names. One path a line; with --json, also who named it.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(o.projects) > 0 {
				return usage("list takes no --project; 'agent status --project DIR' is about one")
			}
			about, err := o.subject()
			if err = cmp.Or(err, about.refused); err != nil {
				return err
			}
			for _, stray := range about.strays {
				complain(stray)
			}
			if asJSON {
				return printJSON(about.listed)
			}
			for _, p := range about.listed {
				if _, err := fmt.Println(safe(p.Path)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array")
	return cmd
}

// listedProject is a project and who named it.
type listedProject struct {
	Path       string `json:"path"`
	Registered bool   `json:"registered"`
	Configured bool   `json:"configured"`
}

// list lists the projects that are registered or configured, by path.
func (s *subject) list() {
	s.listed = []listedProject{}
	entry := func(path string) *listedProject {
		i, found := slices.BinarySearchFunc(s.listed, path, func(p listedProject, path string) int { return cmp.Compare(p.Path, path) })
		if !found {
			s.listed = slices.Insert(s.listed, i, listedProject{Path: path})
		}
		return &s.listed[i]
	}
	registered, err := s.registry.List()
	if err != nil {
		s.strays = append(s.strays, err)
	}
	for _, r := range registered {
		if r.Err != nil {
			s.strays = append(s.strays, r.Err)
			continue
		}
		entry(r.Path).Registered = true
	}
	for _, path := range configured(s.config) {
		entry(path).Configured = true
	}
}

func offCommand(o *options) *cobra.Command {
	return projectsCommand(o, &cobra.Command{
		Use:   "off [DIR]...",
		Short: "Have hooks store nothing in a project",
		Long: `Switches recording off in a project: hooks and 'agent drop' store nothing there,
and succeed. What waits can be drained. 'agent on' switches it on again. Without
DIR it is the project of the working directory; it gets a .spool.`,
	}, func(dir string) error { return switchRecording(dir, true, spoolfiles.Create) })
}

func onCommand(o *options) *cobra.Command {
	return projectsCommand(o, &cobra.Command{
		Use:   "on [DIR]...",
		Short: "Undo off",
		Long:  `Undoes 'agent off': hooks and 'agent drop' store what they are given again.`,
	}, func(dir string) error { return switchRecording(dir, false, spoolfiles.OpenExisting) })
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
