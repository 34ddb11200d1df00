package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"
)

func removeCommand(o *options) *cobra.Command {
	var gone bool
	cmd := &cobra.Command{
		Use:   "remove [DIR]... | --gone",
		Short: "Have a project not served any more",
		Long: `Undoes 'agent add'. The agent ceases to serve the project at once; its .spool
stays as it is, and can still be drained; later drops do not register it again.
A directory that was added by several names is removed by all of them. Without
DIR it is the project of the working directory; DIR need not exist. With --gone,
it is every registered project whose directory does not exist.`,
		Example: `  agent remove
  agent remove ~/work
  agent remove --gone`,
		ValidArgsFunction: registered,
		RunE: func(_ *cobra.Command, args []string) error {
			if gone {
				if len(args)+len(o.projects) > 0 {
					return usage("--gone takes no project")
				}
				return removeGone()
			}
			dirs, err := o.directories(args)
			if err != nil {
				return err
			}
			reg, err := projectRegistry()
			if err != nil {
				return err
			}
			var errs []error
			c, err := o.load()
			if err != nil {
				// What is registered can be removed all the same.
				errs = append(errs, fmt.Errorf("whether the configuration names it as well is not known: %w", err))
			}
			for _, dir := range dirs {
				removed, err := reg.Remove(dir)
				switch {
				case err != nil:
					errs = append(errs, err)
				case slices.Contains(configured(c), dir):
					errs = append(errs, fmt.Errorf("%s is named by 'projects' in the configuration; remove it there", place(dir)))
				case len(removed) == 0:
					fmt.Fprintf(os.Stderr, "%s was not registered\n", place(dir))
				}
				for _, name := range removed {
					fmt.Fprintf(os.Stderr, "removed %s; its .spool is left as it is\n", place(name))
				}
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVar(&gone, "gone", false, "remove every registered project whose directory does not exist")
	return cmd
}

func removeGone() error {
	reg, err := projectRegistry()
	if err != nil {
		return err
	}
	all, err := reg.List()
	if err != nil {
		return err
	}
	for _, r := range all {
		if _, err := os.Stat(r.Path); r.Err != nil || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := reg.Remove(r.Path); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "removed %s\n", place(r.Path))
	}
	return nil
}

// registered completes the paths of registered projects.
func registered(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	reg, err := projectRegistry()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	all, err := reg.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var paths []string
	for _, r := range all {
		if r.Err == nil {
			paths = append(paths, r.Path)
		}
	}
	return paths, cobra.ShellCompDirectiveNoFileComp
}
