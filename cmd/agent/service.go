package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"spoolagent/agent/doctor"
	"spoolagent/configs/hooks"
	"spoolagent/internal/patience"
	"spoolagent/internal/quote"
	"spoolagent/service"
)

func installCommand(o *options) *cobra.Command {
	var linger bool
	cmd := &cobra.Command{
		Use:   "install [--linger]",
		Short: "Make the agent a service that starts at login",
		Long: `Makes the agent a service of this user: it starts now and at every login, and
again whenever it fails. No administrator is needed. It runs with --config and
--log-level as given here, and with this shell's XDG_CONFIG_HOME and
XDG_STATE_HOME.

A program in /bin, /usr/bin or /usr/local/bin is run from there. Any other is
copied to ~/.local/share/spool-agent/bin first. To upgrade, run this again with
the new program.

On Linux, a user's services end when the user logs out for good. With --linger
they run from boot to shutdown: all services of this user, not only the agent.
'loginctl disable-linger' undoes that; 'agent uninstall' does not.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.install(cmd.Context(), linger) },
	}
	cmd.Flags().BoolVar(&linger, "linger", false, "let this user's services run without the user logged in")
	return cmd
}

// install makes the agent a service, and says where everything is.
func (o *options) install(ctx context.Context, linger bool) error {
	spec, err := o.serviceSpec()
	if err != nil {
		return err
	}
	s, err := service.New()
	if err != nil {
		return err
	}
	if linger {
		if err := tell(s, "lingering is on already", func() error { return s.EnableLinger(ctx) }); err != nil {
			return err
		}
	}
	if err := tell(s, "the service is installed, and runs as it should", func() error { return s.Install(ctx, spec) }); err != nil {
		return err
	}
	st, err := s.State(ctx)
	if err == nil {
		fmt.Fprintf(os.Stderr, "\nservice     %s, by %s\ndefinition  %s\nprogram     %s\nlog         %s\n",
			safe(st.Detail), st.Manager, safe(st.File), safe(st.Binary), safe(st.Logs))
	}
	return err
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

func startCommand() *cobra.Command {
	return serviceVerb("start", "Start the installed service", "the service runs already", (*service.Service).Start)
}

func stopCommand() *cobra.Command {
	return serviceVerb("stop", "Stop the service until the next login", "the service does not run", (*service.Service).Stop)
}

func restartCommand() *cobra.Command {
	return serviceVerb("restart", "Restart the service, or start it if it does not run", "", (*service.Service).Restart)
}

func uninstallCommand() *cobra.Command {
	cmd := serviceVerb("uninstall", "Stop the service and remove it", "the service is not installed", (*service.Service).Uninstall)
	cmd.Long = `Stops the service and removes what 'agent install' has made. The projects' spools,
the configuration and the list of projects stay, and so does this program: drops
wait in the spools, and 'agent drain' works without a service. Hooks that are
still connected are named.`
	uninstall := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := uninstall(cmd, args)
		if err == nil || unmanaged(err) != nil {
			noteHooks(cmd.Context())
		}
		return err
	}
	return cmd
}

// noteHooks prints how to disconnect what is still connected. It does not wait
// for settings on a file system that does not answer.
func noteHooks(ctx context.Context) {
	h, ok := patience.Within(ctx, 2*servicePatience, hookFacts)
	if !ok {
		fmt.Fprintln(os.Stderr, named("note: tools may still be connected, but the settings cannot be read: see 'agent hooks list'"))
	}
	for _, c := range h.Connections {
		if c.State == hooks.None {
			continue
		}
		command := "agent hooks uninstall " + c.Tool.Name
		if c.Project != "" {
			command += " --project " + quote.Shell(c.Project)
		}
		fmt.Fprintln(os.Stderr, "note: a tool is still connected, and its drops will wait; disconnect it: "+named(safe(command)))
	}
}

// serviceVerb is a command that does one thing to the installed service. Nothing
// is what it says if there was nothing to do.
func serviceVerb(name, short, nothing string, do func(*service.Service, context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := service.New()
			if err == nil {
				err = tell(s, nothing, func() error { return do(s, cmd.Context()) })
			}
			if none := unmanaged(err); none != nil {
				return withoutManager(cmd.Context(), none, name == "stop" || name == "uninstall")
			}
			return err
		},
	}
}

// unmanaged returns the error that says that no service manager can be reached, if
// it is in this one.
func unmanaged(err error) *service.NoManagerError {
	var none *service.NoManagerError
	errors.As(err, &none)
	return none
}

// withoutManager is the error of a verb for which no service manager can be
// reached: it names the agent that runs all the same. How to run one does not
// belong to a verb that ends the service.
func withoutManager(ctx context.Context, none *service.NoManagerError, ends bool) error {
	pid := userAgent()
	if !ends && pid != 0 {
		return fmt.Errorf("an agent runs already (pid %d), but %w", pid, none)
	}
	if !ends {
		return none
	}
	none.Advice = "if cron starts an agent, remove its line, which begins with @reboot, with 'crontab -e'"
	if pid != 0 {
		none.Advice = fmt.Sprintf("an agent runs (pid %d); 'kill %d' ends it\n%s", pid, pid, none.Advice)
	}
	if serviceState(ctx).Installed {
		return fmt.Errorf("the service is installed, but %w", none)
	}
	return fmt.Errorf("there is no service: %w", none)
}

// tell prints what is done to the service, or that there was nothing to do.
func tell(s *service.Service, nothing string, do func() error) error {
	said := false
	s.Say = func(line string) {
		said = true
		fmt.Fprintln(os.Stderr, named(safe(line)))
	}
	err := do()
	if err == nil && !said {
		fmt.Fprintln(os.Stderr, "nothing to do: "+nothing)
	}
	return err
}

func setupCommand(o *options) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "setup [--yes]",
		Short: "Install the agent, connect the tools that are here, and test it",
		Long: `Does 'agent install', then 'agent hooks install' for the tools whose programs are
in your PATH, but for antigravity and git; then it sends a signal through the
agent. It shows what it is about to do, and asks. If one step fails, it says what
to do, and goes on. To run it again does what is missing.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tools := o.here()
			fmt.Fprintf(os.Stderr, "This installs the agent as a service of yours, connects your tools (%s), and sends a test signal.\n",
				cmp.Or(strings.Join(tools, ", "), "none that it knows is in your PATH"))
			if err := confirm(yes); err != nil {
				return err
			}
			ctx, failed := cmd.Context(), false
			step := func(name string, do func() error) {
				fmt.Fprintln(os.Stderr)
				if err := do(); err != nil {
					complain(fmt.Errorf("%s: %w", name, err))
					failed = true
				}
			}
			step("installing the service", func() error {
				err := o.install(ctx, false)
				if pid := userAgent(); unmanaged(err) != nil && pid != 0 {
					fmt.Fprintf(os.Stderr, "no service manager can be reached, but an agent runs (pid %d)\n", pid)
					return nil
				}
				return err
			})
			if len(tools) > 0 {
				connect := hooksInstallCommand(o)
				connect.SetContext(ctx)
				step("connecting tools", func() error { return connect.RunE(connect, tools) })
			}
			step("sending a test signal", func() error { return o.selfTest(ctx) })
			if failed {
				return errors.New("not all is set up; 'agent setup' can be run again")
			}
			fmt.Fprintln(os.Stderr, named("\nall is set up; 'agent status' shows how it goes"))
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (o *options) selfTest(ctx context.Context) error {
	facts, err := o.facts(ctx)
	if err != nil {
		return err
	}
	test := doctor.SelfTest(ctx, facts)
	if test.Status != doctor.OK {
		return errors.New(test.Detail)
	}
	fmt.Fprintln(os.Stderr, "test signal:", test.Detail)
	return nil
}

// confirm asks whether to go on.
func confirm(yes bool) error {
	if yes {
		return nil
	}
	if !onTerminal(os.Stdin) {
		return usage("there is no terminal to ask whether to go on; 'agent setup --yes' does not ask")
	}
	fmt.Fprint(os.Stderr, "Go on? [y/N] ")
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if !strings.HasPrefix(strings.ToLower(answer), "y") {
		return errors.New("nothing was done")
	}
	return nil
}
