package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"spoolagent/configs/hooks"
	"spoolagent/internal/patience"
	"spoolagent/internal/quote"
	"spoolagent/service"
)

func startCommand() *cobra.Command {
	return serviceVerb(&cobra.Command{
		Use:   "start",
		Short: "Start the installed service",
		Long:  `Starts the service that 'agent install' has installed, and waits until it serves.`,
	}, "the service runs already", (*service.Service).Start)
}

func stopCommand() *cobra.Command {
	return serviceVerb(&cobra.Command{
		Use:   "stop",
		Short: "Stop the service until the next login",
		Long: `Stops the service. It stays installed and starts again at the next login, or
with 'agent start'. Meanwhile drops wait in the projects' spools.`,
	}, "the service does not run", (*service.Service).Stop)
}

func restartCommand() *cobra.Command {
	return serviceVerb(&cobra.Command{
		Use:   "restart",
		Short: "Restart the service, after an upgrade for example",
		Long: `Stops the service, starts it again, and waits until it serves. If it does not
run, it is started. What is dropped meanwhile waits, and nothing is lost.`,
	}, "", (*service.Service).Restart)
}

func uninstallCommand() *cobra.Command {
	cmd := serviceVerb(&cobra.Command{
		Use:   "uninstall",
		Short: "Stop the service and remove it",
		Long: `Stops the service and removes what 'agent install' has made, its copy of this
program as well. The projects'
spools, the configuration and the list of projects stay, and so does this
program: drops wait in the spools, and 'agent drain' works without a service.
Hooks that are still connected are named.`,
	}, "the service is not installed", (*service.Service).Uninstall)
	uninstall := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := uninstall(cmd, args)
		if err == nil {
			noteHooks(cmd.Context())
		}
		return err
	}
	return cmd
}

// noteHooks prints how to disconnect what is still connected. It does not wait
// for settings on a file system that does not answer.
func noteHooks(ctx context.Context) {
	h, ok := patience.Within(ctx, 2*servicePatience, hookFacts)
	if !ok {
		fmt.Fprintln(os.Stderr, named("note: tools may still be connected, but the settings cannot be read: see 'agent hooks list'"))
	}
	for _, c := range h.Connections {
		if c.State == hooks.None {
			continue
		}
		command := "agent hooks uninstall " + c.Tool.Name
		if c.Project != "" {
			command += " --project " + quote.Shell(c.Project)
		}
		fmt.Fprintln(os.Stderr, "note: a tool is still connected, and its drops will wait; disconnect it: "+named(safe(command)))
	}
}

// serviceVerb is a command that does one thing to the installed service. Nothing
// is what it says if there was nothing to do.
func serviceVerb(cmd *cobra.Command, nothing string, do func(*service.Service, context.Context) error) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := service.New()
		if err != nil {
			return err
		}
		return tell(s, nothing, func() error { return do(s, cmd.Context()) })
	}
	return cmd
}

// tell prints what is done to the service, or that there was nothing to do.
func tell(s *service.Service, nothing string, do func() error) error {
	said := false
	s.Say = func(line string) {
		said = true
		fmt.Fprintln(os.Stderr, named(safe(line)))
	}
	err := do()
	if err == nil && !said {
		fmt.Fprintln(os.Stderr, "nothing to do: "+nothing)
	}
	return err
}

// printService prints where everything is.
func printService(w io.Writer, st service.State) error {
	_, err := fmt.Fprintf(w, "\nservice     %s, by %s\ndefinition  %s\nprogram     %s\nlog         %s\n",
		safe(st.Detail), st.Manager, safe(st.File), safe(st.Binary), safe(st.Logs))
	return err
}
