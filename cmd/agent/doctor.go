package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"spoolagent/agent/doctor"
	"spoolagent/configs"
	"spoolagent/configs/hooks"
	"spoolagent/service"
	"spoolagent/spoolfiles"
)

func doctorCommand(o *options) *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "doctor [--all|--json]",
		Short: "Find out what is wrong, and how to fix it",
		Long: `Checks the agent, its service, the configuration, the registry, the AI tools'
hooks, the system's limits, and every project that is registered or configured,
with --project only that one. Then a signal is sent through a project made for
this, which the running agent serves, from drop to drain; nothing is left of it.
Nothing else is changed: what is to be done is shown as a command.

What is wrong is shown, the worst first, and which project a hook would get here;
with --all, also what is right.
Exit status 1 says that something does not work; warnings do not count.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			facts, err := o.facts(ctx)
			if err != nil {
				return err
			}
			checks := doctor.Examine(ctx, facts)
			if asJSON {
				err = printJSON(map[string][]doctor.Check{"checks": checks})
			} else {
				_, err = os.Stdout.WriteString(showChecks(checks, all, painter(inColour(os.Stdout))))
			}
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return errors.New("interrupted")
			case checks[0].Status == doctor.Failure: // the worst
				return &exit{status: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also show what is right")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object with all checks")
	return cmd
}

// facts are what the doctor is told.
func (o *options) facts(ctx context.Context) (doctor.Facts, error) {
	about, err := o.subject()
	if err != nil {
		return doctor.Facts{}, err
	}
	f := doctor.Facts{
		StateDir:  about.state,
		Registry:  about.registry,
		Version:   version(),
		Projects:  about.projects,
		Options:   queueOptions(about.config),
		ConfigErr: about.refused,
		Hooks: func(ctx context.Context) doctor.Hooks {
			h := hookFacts(ctx)
			h.Last = o.lastSignals(ctx)
			return h
		},
	}
	f.Start, _ = spoolfiles.Start() // there is none where the working directory is gone
	s, err := service.New()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, servicePatience)
		defer cancel()
		f.Service, err = s.State(ctx)
	}
	if err != nil {
		f.Service.Reach = err
	}
	return f, nil
}

// hookFacts are what is connected, and the tools that could be.
func hookFacts(ctx context.Context) (h doctor.Hooks) {
	setup, err := hooks.New(configs.Hook())
	if err != nil {
		return h // there is no home, and so no settings
	}
	h.Connections = slices.DeleteFunc(setup.Connections(ctx, ""), func(c hooks.Connection) bool {
		return c.State == hooks.None && c.Project == "" && !c.Tool.Here()
	})
	return h
}

// showChecks is the checks for people.
func showChecks(checks []doctor.Check, all bool, p painter) string {
	var b strings.Builder
	colours := map[doctor.Level]colour{doctor.OK: green, doctor.Warning: yellow, doctor.Failure: red}
	// Of projects that have the same wrong, there may be thousands.
	const few = 5
	shown, left := map[string]int{}, 0
	for _, c := range checks {
		if c.Status == doctor.OK && !all {
			if c.Name == "here" {
				fmt.Fprintln(&b, safe(c.Detail))
			}
			continue
		}
		if shown[c.Name]++; shown[c.Name] > few {
			left++
			continue
		}
		fmt.Fprintf(&b, "%s%*s %-18s  %s\n", p.paint(string(c.Status), colours[c.Status]), len(doctor.Failure)-len(c.Status), "", c.Name, named(safe(c.Detail)))
		if c.Mend != "" {
			fmt.Fprintln(&b, "          mend: "+p.paint(named(safe(c.Mend)), bold))
		}
	}
	if left > 0 {
		fmt.Fprintf(&b, "... and %d more of the same checks, which --json has\n", left)
	}
	if checks[0].Status == doctor.OK { // the worst
		fmt.Fprintln(&b, p.paint("all is well", green))
	}
	return b.String()
}
