package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/agent/doctor"
	"spoolagent/agent/status"
	"spoolagent/configs"
	"spoolagent/configs/hooks"
	"spoolagent/internal/patience"
	"spoolagent/internal/quote"
	"spoolagent/service"
	"spoolagent/spoolfiles"
)

func doctorCommand(o *options) *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "doctor [--all|--json]",
		Short: "Find out what is wrong, and how to fix it",
		Long: `Checks the agent, its service, the configuration, the registry, the AI tools'
hooks, and every project, with --project only that one. Then a signal is sent
through a project made for this, from drop to drain. Nothing else is changed:
what is to be done is shown as a command. What is wrong is shown, the worst
first, and which project a hook would get here; with --all, also what is right.
Exit status 1 says that something does not work; warnings do not count.`,
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
				err = showChecks(checks, all)
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

// facts are how things are, as far as it can be told without a closer look.
func (o *options) facts(ctx context.Context) (f doctor.Facts, err error) {
	c, refused := o.load()
	if refused != nil {
		c = configs.Default()
	}
	f = doctor.Facts{Version: version(), Options: queueOptions(c), ConfigErr: refused}
	f.Hooks = func(ctx context.Context) doctor.Hooks {
		h := hookFacts(ctx)
		if h.Last = newest(f.Status.Projects); len(o.projects) > 0 { // which are not all
			h.Last = o.lastSignals(ctx)
		}
		return h
	}
	f.Start, _ = spoolfiles.Start() // there is none where the working directory is gone
	if f.StateDir, err = stateDir(); err != nil {
		return f, err
	}
	if f.Registry, err = projectRegistry(); err != nil {
		return f, err
	}
	known, _ := listed(c, f.Registry) // the check of the registry says what is wrong
	projects, files, err := o.toReport(known, f)
	if err != nil {
		return f, err
	}
	f.Status, err = status.Report(ctx, status.Config{StateDir: f.StateDir, Projects: projects, Options: f.Options, Version: f.Version})
	f.Status.Projects = slices.DeleteFunc(f.Status.Projects, func(p status.ProjectStatus) bool {
		file := files[p.Path]
		killed := file != "" && p.State == agent.StateStopped
		// An agent that has just started may be about to serve it.
		if info, err := os.Stat(file); killed && err == nil && time.Since(info.ModTime()) > time.Minute {
			os.Remove(file)
		}
		return killed || doctor.IsScratch(p.Path)
	})
	for i, p := range f.Status.Projects {
		if p.State == agent.StateMissing && !slices.Contains(known, p.Path) && files[p.Path] == "" {
			f.Status.Projects[i].Advice = ""
			if _, err := os.Stat(p.Path); err == nil {
				f.Status.Projects[i].Error = "not a project yet; 'agent add' makes it one"
			}
		}
	}
	if refused != nil {
		f.Status.Problem = "configuration refused: " + quote.Error(refused)
	}
	f.Service = serviceState(ctx)
	return f, err
}

// toReport are the project of --project, or else all that are registered or
// configured, that of this directory, and with their files those of agents that
// were started for them alone.
func (o *options) toReport(known []string, f doctor.Facts) (projects []string, files map[string]string, err error) {
	if len(o.projects) > 0 {
		projects, err = absolute(o.projects)
		return projects, nil, err
	}
	projects = slices.Clone(known)
	if f.Start != "" {
		if sp, err := spoolfiles.OpenExisting(spoolfiles.Find(f.Start)); err == nil {
			projects = append(projects, sp.Project)
			sp.Close()
		}
	}
	alone, _ := foreground(f.StateDir).List()
	files = map[string]string{}
	for _, e := range alone {
		if e.Err == nil && !slices.Contains(projects, e.Path) {
			projects = append(projects, e.Path)
			files[e.Path] = e.File
		}
	}
	slices.Sort(projects)
	return slices.Compact(projects), files, nil
}

// servicePatience is how long the service is waited for.
const servicePatience = time.Second

// serviceState is how things are with the OS service. It does not wait for a
// manager's command that cannot even be killed.
func serviceState(ctx context.Context) service.State {
	noAnswer := fmt.Errorf("no answer within %v", servicePatience)
	st, ok := patience.Within(ctx, 2*servicePatience, func(ctx context.Context) (st service.State) {
		ctx, cancel := context.WithTimeoutCause(ctx, servicePatience, noAnswer)
		defer cancel()
		s, err := service.New()
		if err == nil {
			st, err = s.State(ctx)
		}
		if err != nil {
			st.Reach = cmp.Or(context.Cause(ctx), err)
		}
		return st
	})
	if !ok {
		st.Reach = noAnswer
	}
	return st
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

// showChecks prints the checks for people.
func showChecks(checks []doctor.Check, all bool) error {
	pg := newPage(os.Stdout)
	pg.checks(slices.DeleteFunc(slices.Clone(checks), func(c doctor.Check) bool {
		return c.Status == doctor.OK && c.Name != "here" && !all
	}))
	if checks[0].Status == doctor.OK { // the worst
		pg.say(green, "all is well", "")
	}
	return pg.print("")
}
