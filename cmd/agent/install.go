package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"spoolagent/service"
)

func installCommand(o *options) *cobra.Command {
	var linger bool
	cmd := &cobra.Command{
		Use:   "install [--linger]",
		Short: "Make the agent a service that starts at login",
		Long: `Makes the agent a service of this user: it starts now and at every login, and
again whenever it fails. No administrator is needed. The service runs with
--config and --log-level as given here, and with the XDG_CONFIG_HOME and
XDG_STATE_HOME of this shell. It serves the projects that 'agent add' and the
hooks register, and those of the configuration.

A program in /bin, /usr/bin or /usr/local/bin is run from there. Any other is
copied to ~/.local/share/spool-agent/bin, and the service runs the copy.

To upgrade, run this again with the new program: it replaces the copy and
restarts the service. If nothing has changed, nothing is done.

On Linux, a user's services end when the user logs out for good. With --linger
they run from boot to shutdown: all services of this user, not only the agent.
'loginctl disable-linger' undoes that; 'agent uninstall' does not.`,
		Example: `  agent install
  agent install --linger
  agent install --config ~/agent.toml --log-level debug`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(o.projects) > 0 {
				return usage("install takes no --project; 'agent add DIR' tells the service what to serve")
			}
			spec, err := o.serviceSpec()
			if err != nil {
				return err
			}
			s, err := service.New()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if linger {
				if err := tell(s, "lingering is on already", func() error { return s.EnableLinger(ctx) }); err != nil {
					return err
				}
			}
			if err := tell(s, "the service is installed, and runs as it should", func() error { return s.Install(ctx, spec) }); err != nil {
				return err
			}
			st, err := s.State(ctx)
			if err != nil {
				return err
			}
			return printService(os.Stderr, st)
		},
	}
	cmd.Flags().BoolVar(&linger, "linger", false, "let this user's services run without the user logged in")
	return cmd
}

// serviceSpec is what the service is to run, by the flags of install.
func (o *options) serviceSpec() (service.Spec, error) {
	spec := service.Spec{Args: []string{"run", "--service"}, Env: make(map[string]string)}
	if _, err := o.load(); err != nil { // better now than in the service's log
		return service.Spec{}, err
	}
	if o.config != "" {
		file, err := filepath.Abs(o.config)
		if err != nil {
			return service.Spec{}, fmt.Errorf("configuration %s: %w", o.config, err)
		}
		spec.Args = append(spec.Args, "--config", file)
	}
	if o.logLevel != "" {
		spec.Args = append(spec.Args, "--log-level", string(o.logLevel))
	}
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME"} {
		if dir := os.Getenv(name); filepath.IsAbs(dir) {
			spec.Env[name] = dir
		}
	}
	return spec, nil
}
