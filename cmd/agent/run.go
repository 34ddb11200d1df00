package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"spoolagent/agent"
)

func runCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "run [--project DIR]...",
		Short: "Serve projects until interrupted",
		Long: `Serves projects in the foreground: folds their drops, answers requests, and
returns unclaimed replies. With --project only these, else the projects of the
configuration. A project that another agent serves already is left to that one.

What happens is logged to standard error, as JSON where that is no terminal.
SIGINT and SIGTERM end it within two seconds, a second signal at once; either
way nothing is lost.`,
		Example: `  agent run --project ~/work --project ~/notes
  agent run --log-level debug --config ./agent.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			projects, err := o.given()
			if err != nil {
				return err
			}
			if len(projects) == 0 {
				projects = c.Projects
			}
			if len(projects) == 0 {
				return usage("no project to serve; name one with --project DIR, or list them as 'projects' in the configuration")
			}
			level, err := o.logLevelOf(c)
			if err != nil {
				return err
			}
			state, err := stateDir()
			if err != nil {
				return err
			}

			// The agent outlives the reader of its log.
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // the second signal has its usual effect

			return agent.Run(ctx, agent.Config{
				Projects:     projects,
				Options:      queueOptions(c),
				ScanInterval: c.ScanInterval,
				StateDir:     state,
				Version:      version(),
				Log:          newLogger(os.Stderr, level),
			})
		},
	}
}

// newLogger logs to f: for people on a terminal, for programs elsewhere.
func newLogger(f *os.File, level zerolog.Level) zerolog.Logger {
	log := zerolog.New(f)
	if onTerminal(f) {
		log = zerolog.New(zerolog.ConsoleWriter{Out: f, NoColor: !inColour(f), TimeFormat: time.TimeOnly})
	}
	return log.Level(level).With().Timestamp().Logger()
}
