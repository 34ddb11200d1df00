package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/agent/status"
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
or a configuration that is refused.`,
		Example: `  agent status
  agent status --watch --interval 500ms
  agent status --json --project . | jq .projects[0].queued`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < minInterval {
				return usage("--interval must be %v at least", minInterval)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			for last := (*statusReport)(nil); ; {
				s, err := o.status(ctx)
				switch {
				case ctx.Err() != nil && last != nil:
					return last.exit()
				case err != nil:
					return err
				case asJSON:
					err = printJSON(s)
				default:
					err = printReport(os.Stdout, s, time.Now(), watched)
				}
				if err != nil {
					return err
				}
				if !watched {
					return s.exit()
				}
				last = s
				select {
				case <-ctx.Done():
				case <-time.After(interval):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&watched, "watch", false, "look again and again")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "with --watch, look every `TIME`")
	return cmd
}

// minInterval keeps a slip of the finger from occupying a processor.
const minInterval = 50 * time.Millisecond

// statusReport is what status shows.
type statusReport struct {
	status.Status
	Service *serviceFacts `json:"service,omitempty"` // nil: not asked

	strays  []error // what is wrong with the registry
	refused error   // why the configuration does not count
}

// status looks at everything once.
func (o *options) status(ctx context.Context) (*statusReport, error) {
	only := len(o.projects) > 0
	asked := func() *serviceFacts { return nil }
	if !only {
		asked = askService(ctx)
	}
	about, err := o.subject()
	if err != nil {
		return nil, err
	}
	r, err := status.Report(ctx, status.Config{
		StateDir: about.state,
		Projects: about.projects,
		Only:     only,
		Options:  queueOptions(about.config),
		Version:  version(),
	})
	if err != nil {
		return nil, err
	}
	if about.refused != nil {
		r.Problem = "configuration refused: " + oneLine(about.refused)
	}
	return &statusReport{r, asked(), about.strays, about.refused}, nil
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
