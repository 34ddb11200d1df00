package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"spoolagent/agent/doctor"
	"spoolagent/configs"
	"spoolagent/configs/hooks"
)

func doctorCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [--json]",
		Short: "Find out what is wrong, and how to mend it",
		Long: `Checks the agent, its service, the configuration, the registry, the AI tools'
hooks, the system's limits, and every project that is registered or configured,
with --project only that one. Then a signal is sent through a project made for
this, which the running agent serves, from drop to drain; nothing is left of it.
Nothing else is changed: what is to be done is told as a command.

Exit status 1 says that something does not work; warnings do not count.`,
		Example: `  agent doctor
  agent doctor --project .
  agent doctor --json | jq '.checks[] | select(.status == "failure")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.atMostOne(); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			facts, err := o.facts(ctx)
			if err != nil {
				return err
			}
			checks := doctor.Examine(ctx, facts)
			checks = append(checks, doctor.SelfTest(ctx, facts))
			if asJSON {
				enc := json.NewEncoder(os.Stdout)
				enc.SetEscapeHTML(false)
				err = enc.Encode(map[string][]doctor.Check{"checks": checks})
			} else {
				err = printChecks(os.Stdout, checks)
			}
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return errors.New("interrupted")
			case doctor.Worst(checks) == doctor.Failure:
				return &exit{status: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// facts are what the doctor has to be told.
func (o *options) facts(ctx context.Context) (f doctor.Facts, err error) {
	asked := askService(ctx)
	f.Version = version()
	if f.StateDir, err = stateDir(); err != nil {
		return f, err
	}
	if f.Registry, err = projectRegistry(); err != nil {
		return f, err
	}
	if f.Binary, err = os.Executable(); err != nil {
		return f, fmt.Errorf("finding this program: %w", err)
	}
	if f.Config.File = o.config; f.Config.File == "" {
		if f.Config.File, err = configFile(); err != nil {
			return f, err
		}
	}
	c, err := o.load()
	if err != nil {
		f.Config.Err, c = err, configs.Default()
	}
	_, err = os.Lstat(f.Config.File)
	f.Config.There = !errors.Is(err, fs.ErrNotExist)
	f.Options = queueOptions(c)
	if f.Projects, err = o.given(); err != nil {
		return f, err
	}
	if len(f.Projects) == 0 {
		// What is wrong with the registry is told in the checks.
		all, _ := listed(f.Registry, configured(c), func(error) {})
		for _, p := range all {
			f.Projects = append(f.Projects, p.Path)
		}
	}
	f.Hooks = hookFacts
	s := asked()
	f.Service = doctor.Service{
		Manager: s.Manager, Installed: s.Installed, Enabled: s.Enabled, Running: s.Running,
		Detail: s.Detail, Binary: s.Binary, File: s.File, Logs: s.Logs, LingerOff: s.Linger == "off",
	}
	if s.none {
		f.Service.Absent = s.Error
	} else {
		f.Service.Reach = s.Error
	}
	return f, nil
}

// hookFacts are the tools whose hooks may be the user's, the projects in which
// tools are connected, and what the hooks run.
func hookFacts(ctx context.Context) (h doctor.Hooks) {
	setup, err := hooks.New(configs.Hook())
	if err != nil {
		return h // there is no home, and so no settings
	}
	add := func(t hooks.Tool, project string, st hooks.Status) {
		h.Tools = append(h.Tools, doctor.Tool{Name: t.Name, Title: t.Title, Project: project,
			Here: setup.Here(t), Single: t.OfRepository(), Connected: string(st.State), Err: st.Err})
	}
	connections := setup.Connections(ctx)
	for _, t := range hooks.Tools() {
		st := hooks.Status{State: hooks.None}
		if !t.OfRepository() {
			st = setup.Check(ctx, t, "")
		}
		add(t, "", st)
	}
	for _, c := range connections {
		if c.Project != "" {
			add(c.Tool, c.Project, c.Status)
		}
	}
	for file, state := range setup.Scripts(connections) {
		h.Scripts = append(h.Scripts, doctor.Script{File: file, State: string(state)})
	}
	slices.SortFunc(h.Scripts, func(a, b doctor.Script) int { return strings.Compare(a.File, b.File) })
	return h
}

var levelColours = map[doctor.Level]colour{doctor.OK: green, doctor.Warning: yellow, doctor.Failure: red}

// sections are which subjects stand together.
var sections = map[string]int{"service": 1, "config": 2, "state": 2, "registry": 2, "hooks": 3, "limits": 4,
	"projects": 5, "project": 5, "spool": 5, "disk": 5, "selftest": 6}

// printChecks prints the checks for people: those that are about the same
// together, and a verdict.
func printChecks(f *os.File, checks []doctor.Check) error {
	p := painter(inColour(f))
	names := 0
	count := map[doctor.Level]int{}
	for _, c := range checks {
		names = max(names, len(c.Name))
		count[c.Status]++
	}
	var b strings.Builder
	about := sections[checks[0].Subject()]
	for _, c := range checks {
		if subject := sections[c.Subject()]; subject != about {
			b.WriteByte('\n')
			about = subject
		}
		status := p.paint(string(c.Status), levelColours[c.Status]) + strings.Repeat(" ", len(doctor.Failure)-len(c.Status))
		indent := strings.Repeat(" ", len(doctor.Failure)+1)
		for i, line := range strings.Split(c.Detail, "\n") {
			if i == 0 {
				fmt.Fprintf(&b, "%s %-*s  %s\n", status, names, c.Name, safe(line))
			} else {
				fmt.Fprintf(&b, "%s  %s\n", indent, safe(line))
			}
		}
		if c.Mend != "" {
			fmt.Fprintf(&b, "%s  mend: %s\n", indent, p.paint(safe(c.Mend), bold))
		}
	}
	fmt.Fprintln(&b)
	fmt.Fprintln(&b, verdict(count, p))
	_, err := f.WriteString(b.String())
	return err
}

func verdict(count map[doctor.Level]int, p painter) string {
	many := func(n int, noun string) string {
		if n == 1 {
			return "1 " + noun
		}
		return fmt.Sprintf("%d %ss", n, noun)
	}
	warnings := many(count[doctor.Warning], "warning")
	switch {
	case count[doctor.Failure] > 0:
		return p.paint(many(count[doctor.Failure], "failure"), red) + ", " + warnings
	case count[doctor.Warning] > 0:
		return p.paint("it works", green) + ", with " + p.paint(warnings, yellow)
	}
	return p.paint("all is well", green)
}
