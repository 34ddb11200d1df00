package main

import (
	"cmp"
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/agent/registry"
	"spoolagent/service"
)

func runCommand(o *options) *cobra.Command {
	var unattended bool
	cmd := &cobra.Command{
		Use:   "run [--project DIR]...",
		Short: "Serve projects until interrupted",
		Long: `Serves projects in the foreground: these, or else all that are registered or
configured, also what is added meanwhile, as the service does. There is one such
agent for each user. A project that another agent serves is left to that one.

What happens is logged to standard error, as JSON where that is no terminal.
SIGHUP has it read its configuration again, unless it was started on a terminal;
if that is refused, the one of before counts. SIGINT and SIGTERM end it within
two seconds, a second signal at once; either way nothing is lost.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			projects, err := absolute(o.projects)
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
			// Its first call tells whether there is anything to run.
			load := func() (agent.Settings, error) {
				c, err := o.load()
				if err != nil {
					return agent.Settings{}, err
				}
				level, err := zerolog.ParseLevel(cmp.Or(o.logLevel, c.LogLevel))
				if err != nil {
					return agent.Settings{}, err
				}
				zerolog.SetGlobalLevel(level)
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
			if !onTerminal(os.Stdin) { // else it means that the terminal is gone
				signal.Notify(reload, syscall.SIGHUP)
				defer signal.Stop(reload)
			}

			// What it keeps for a project, it keeps for long, so that collecting
			// twice as often costs little, and saves an eighth of the memory.
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(50)
			}
			for _, p := range projects {
				if file, added, err := foreground(state).Add(p); err == nil && added {
					defer os.Remove(file)
				}
			}
			return agent.Run(ctx, agent.Config{
				Load:     load,
				Reload:   reload,
				User:     len(projects) == 0,
				Service:  unattended,
				StateDir: state,
				Registry: reg,
				Version:  version(),
				Log:      newLogger(os.Stderr),

				Notify:     service.Tell,
				AliveEvery: service.AliveEvery(),
			})
		},
	}
	cmd.Flags().BoolVar(&unattended, "service", false, "run unattended: wait where there is something wrong, instead of ending")
	return cmd
}

// foreground names the projects of agents that were started for these alone, so
// that status shows them.
func foreground(state string) registry.Registry {
	return registry.Registry{Dir: filepath.Join(state, "foreground")}
}

// newLogger logs to f: for people on a terminal, for programs elsewhere.
func newLogger(f *os.File) zerolog.Logger {
	log := zerolog.New(f)
	if onTerminal(f) {
		log = zerolog.New(zerolog.ConsoleWriter{Out: f, NoColor: !inColour(f), TimeFormat: time.TimeOnly})
	}
	return log.With().Timestamp().Logger()
}
