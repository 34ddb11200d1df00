package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/agent/status"
	"spoolagent/configs"
)

func statusCommand(o *options) *cobra.Command {
	var asJSON, watched bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "status [--json] [--watch]",
		Short: "Show how things are with the agent and its projects",
		Long: `Shows every project that is registered, configured, or served by a running agent
of this user, with --project only that one; what needs attention comes first.
The numbers are counted on disk, agent or not. With --watch it goes on doing so:
on a terminal in place, elsewhere one report after another, until interrupted.

Exit status 3 says that no agent serves any of these projects, 1 that something
needs attention: a project that is missing or in error, or cannot be counted,
or a configuration that is refused; then only what needs no configuration is
shown, and the default cap where no agent says otherwise.`,
		Example: `  agent status
  agent status --watch --interval 500ms
  agent status --json --project . | jq .projects[0].queued`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.atMostOne(); err != nil {
				return err
			}
			if interval < minInterval {
				return usage("--interval must be %v at least", minInterval)
			}
			show := func(s *statusReport) error { return printReport(os.Stdout, s, time.Now()) }
			if asJSON {
				enc := json.NewEncoder(os.Stdout)
				enc.SetEscapeHTML(false)
				show = func(s *statusReport) error { return enc.Encode(s) }
			}
			if watched {
				return o.watchStatus(cmd.Context(), interval, asJSON, show)
			}
			s, err := o.status(cmd.Context())
			if err != nil {
				return err
			}
			if err := show(s); err != nil {
				return err
			}
			return s.exit()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&watched, "watch", false, "look again and again")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "with --watch, look every `TIME`")
	return cmd
}

// watchStatus is status --watch: in place where a person reads it, else one
// report after the other.
func (o *options) watchStatus(ctx context.Context, interval time.Duration, asJSON bool, show func(*statusReport) error) error {
	stays := func() error { return nil }
	switch {
	case asJSON: // one object a line
		return o.watch(ctx, interval, show, stays)
	case onTerminal(os.Stdout) && os.Getenv("TERM") != "dumb":
		screen, err := openScreen(os.Stdout)
		if err != nil {
			return err
		}
		defer screen.close()
		return o.watch(ctx, interval, screen.show, screen.resized)
	}
	between := ""
	return o.watch(ctx, interval, func(s *statusReport) error {
		if _, err := os.Stdout.WriteString(between); err != nil {
			return err
		}
		between = "\n"
		return show(s)
	}, stays)
}

// statusReport is what status shows.
type statusReport struct {
	status.Status
	Service *serviceFacts `json:"service,omitempty"` // nil: not asked

	strays  []error // what the registry has besides projects
	refused error   // why the configuration does not count
}

// status looks at everything once.
func (o *options) status(ctx context.Context) (*statusReport, error) {
	c, refused := o.load()
	if refused != nil {
		c = configs.Default()
	}
	projects, err := o.given()
	if err != nil {
		return nil, err
	}
	state, err := stateDir()
	if err != nil {
		return nil, err
	}
	only := len(projects) > 0
	var strays []error
	asked := func() *serviceFacts { return nil }
	if !only {
		asked = askService(ctx)
		reg, err := projectRegistry()
		if err != nil {
			return nil, err
		}
		all, err := listed(reg, configured(c), func(err error) { strays = append(strays, err) })
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			projects = append(projects, p.Path)
		}
	}
	r, err := status.Report(ctx, status.Config{
		StateDir: state,
		Projects: projects,
		Only:     only,
		Options:  queueOptions(c),
		Version:  version(),
	})
	if err != nil {
		return nil, err
	}
	if refused != nil {
		r.Problem = "configuration refused: " + oneLine(refused)
	}
	return &statusReport{r, asked(), strays, refused}, nil
}

// exit is the exit status that the report asks for.
func (s *statusReport) exit() error {
	switch {
	case s.refused != nil:
		return s.refused
	case !s.Running:
		return &exit{status: exitNoAgent}
	case s.NeedsAttention():
		return &exit{status: exitFailed}
	}
	return nil
}
