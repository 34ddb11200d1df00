package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/agent/registry"
	"spoolagent/agent/status"
	"spoolagent/spoolfiles"
)

func addCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "add [DIR]...",
		Short: "Have a project served from now on",
		Long: `Registers a project, so that the agent of this user serves it from now on: at
once if it runs, else when it is started. The project gets a .spool. Without DIR
it is the project of the working directory.

A project is registered by itself with its first drop, and again with its first
drop after it was moved or copied.`,
		Example: `  agent add
  agent add ~/work ~/notes`,
		ValidArgsFunction: directories,
		RunE: func(_ *cobra.Command, args []string) error {
			dirs, err := o.directories(args)
			if err != nil {
				return err
			}
			reg, err := projectRegistry()
			if err != nil {
				return err
			}
			var errs []error
			for _, dir := range dirs {
				errs = append(errs, add(reg, dir))
			}
			return errors.Join(errs...)
		},
	}
}

func add(reg registry.Registry, dir string) error {
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
	fmt.Fprintf(os.Stderr, "%s %s; %s\n", word, place(dir), prospect())
	return nil
}

// prospect says who serves what has been added.
func prospect() string {
	state, err := stateDir()
	var agents []agent.Info
	if err == nil {
		agents, err = status.Running(state)
	}
	if err != nil {
		return oneLine(err)
	}
	for _, a := range agents {
		if a.User {
			return fmt.Sprintf("the agent (pid %d) serves it", a.PID)
		}
	}
	return "no agent runs yet: 'agent install' has one run from now on"
}
