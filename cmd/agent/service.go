package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"spoolagent/service"
)

// serviceVerb is a command that does one thing to the installed service. Nothing
// is what it says if there was nothing to do.
func serviceVerb(cmd *cobra.Command, nothing string, do func(*service.Service, context.Context) (service.Change, error)) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := service.New()
		if err != nil {
			return err
		}
		c, err := do(s, cmd.Context())
		return tell(os.Stderr, c, err, nothing)
	}
	return cmd
}

// tell prints what was done to the service, also if it failed in the end, and
// returns the error.
func tell(w io.Writer, c service.Change, err error, nothing string) error {
	for _, line := range c.Done {
		fmt.Fprintln(w, safe(line))
	}
	if err != nil {
		return err
	}
	if len(c.Done) == 0 {
		fmt.Fprintln(w, "nothing to do: "+nothing)
	}
	for _, line := range c.Notes {
		fmt.Fprintln(w, "note: "+safe(line))
	}
	return nil
}

// printService prints where everything is.
func printService(w io.Writer, st service.State) error {
	_, err := fmt.Fprintf(w, "\nservice     %s, by %s\ndefinition  %s\nprogram     %s\nlog         %s\n",
		safe(st.Detail), st.Manager, safe(st.File), safe(st.Binary), safe(st.Logs))
	return err
}
