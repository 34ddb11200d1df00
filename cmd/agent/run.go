package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/service"
)

func runCommand(o *options) *cobra.Command {
	var unattended bool
	cmd := &cobra.Command{
		Use:   "run [--project DIR]...",
		Short: "Serve projects until interrupted",
		Long: `Serves projects in the foreground: folds their drops, answers requests, and
returns unclaimed replies. With --project only these. Else all projects of this
user, as the service does: those of 'agent add', those that hooks have
registered, and those of the configuration, also what is added meanwhile. There
is one such agent for each user. A project that another agent serves already is
left to that one.

What happens is logged to standard error, as JSON where that is no terminal.
SIGHUP has it read its configuration again; if that is refused, the one of
before counts. SIGINT and SIGTERM end it within two seconds, a second signal at
once; either way nothing is lost.`,
		Example: `  agent run --project ~/work --project ~/notes
  agent run --log-level debug --config ./agent.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			projects, err := o.given()
			if err != nil {
				return err
			}
			if len(projects) == 1 && !unattended {
				if projects[0], err = o.project(); err != nil {
					return err
				}
			}
			state, err := stateDir()
			if err != nil {
				return err
			}
			reg, err := projectRegistry()
			if err != nil {
				return err
			}
			var log logLevel
			// Its first call tells whether there is anything to run.
			load := func() (agent.Settings, error) {
				c, err := o.load()
				if err != nil {
					return agent.Settings{}, err
				}
				level, err := o.logLevelOf(c)
				if err != nil {
					return agent.Settings{}, err
				}
				log.Store(int32(level))
				s := agent.Settings{Options: queueOptions(c), ScanInterval: time.Duration(c.ScanInterval), Projects: projects}
				if len(projects) == 0 {
					s.Projects, s.Patterns = c.Projects, c.Patterns
				}
				return s, nil
			}

			// The agent outlives the reader of its log.
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // the second signal has its usual effect
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)

			// What it keeps for a project, it keeps for long, so that collecting
			// twice as often costs little, and saves an eighth of the memory.
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(50)
			}
			return agent.Run(ctx, agent.Config{
				Load:     unlessHungUp(load, stop),
				Reload:   reload,
				User:     len(projects) == 0,
				Service:  unattended,
				StateDir: state,
				Registry: reg,
				Version:  version(),
				Log:      newLogger(os.Stderr, &log),

				Notify:     service.Tell,
				AliveEvery: service.AliveEvery(),
			})
		},
	}
	cmd.Flags().BoolVar(&unattended, "service", false, "run unattended: wait where there is something wrong, instead of ending")
	return cmd
}

// unlessHungUp makes a reload end the agent instead if its terminal has gone,
// for then that is what SIGHUP means.
func unlessHungUp(load func() (agent.Settings, error), stop func()) func() (agent.Settings, error) {
	had := onTerminal(os.Stdin)
	return func() (agent.Settings, error) {
		if had && !onTerminal(os.Stdin) {
			stop()
			return agent.Settings{}, errors.New("the terminal is gone")
		}
		return load()
	}
}

// logLevel is the least level that is logged. It may change at any time.
type logLevel struct{ atomic.Int32 }

// Run discards what is below the level; it makes the level a zerolog.Hook.
func (l *logLevel) Run(e *zerolog.Event, level zerolog.Level, _ string) {
	if int32(level) < l.Load() {
		e.Discard()
	}
}

// newLogger logs to f: for people on a terminal, for programs elsewhere.
func newLogger(f *os.File, level *logLevel) zerolog.Logger {
	log := zerolog.New(f)
	if onTerminal(f) {
		log = zerolog.New(zerolog.ConsoleWriter{Out: f, NoColor: !inColour(f), TimeFormat: time.TimeOnly})
	}
	return log.Hook(level).With().Timestamp().Logger()
}
