package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"spoolagent/internal/place"
	"spoolagent/internal/quote"
)

// Name is the service's name, on all systems.
const Name = "spool-agent"

// Linger says whether the user's services run without the user logged in. It
// is empty where there is no such thing.
type Linger string

// The states of lingering.
const (
	LingerOn  Linger = "on"
	LingerOff Linger = "off"
)

// State is the state of the service.
type State struct {
	Manager   string `json:"manager"`   // who runs it: "systemd --user", "launchd" or "Task Scheduler"
	Reach     error  `json:"-"`         // why the manager cannot be asked; then what only it knows is unknown
	Installed bool   `json:"installed"` // its definition is there
	Enabled   bool   `json:"enabled"`   // it starts at login, or at boot with lingering
	Running   bool   `json:"running"`   // and has said that it is ready, where the manager listens for that
	PID       int    `json:"pid"`       // 0 if it does not run, or the manager does not tell
	Detail    string `json:"detail"`    // the manager's own words, such as "active (running)"
	Binary    string `json:"binary"`    // what it starts; empty if that is unknown
	File      string `json:"file"`      // the definition's path, whether it is there or not
	Logs      string `json:"logs"`      // a command that shows the log
	Linger    Linger `json:"linger"`
}

// status is a State, and what only this package has to know.
type status struct {
	State
	up      bool      // it runs, or is about to: there is something to stop
	started time.Time // when it was started; zero if unknown
}

// manager has the steps, for one system.
type manager interface {
	// query asks for the state. Its error is State.Reach; the rest is then
	// filled in as far as files tell it.
	query(ctx context.Context) (status, error)
	// install writes the definition if it is not there, or another, and has the
	// manager read it and start it at login. It returns the file that it wrote.
	install(ctx context.Context, spec Spec) (wrote string, err error)
	start(ctx context.Context) error
	stop(ctx context.Context) error
	// uninstall removes what install has made, or what is left of it.
	uninstall(ctx context.Context, before status) error
}

// Service is the agent's service for the user who runs this program.
type Service struct {
	m manager

	// Say prints what a verb has done, a line for each step, and what else the
	// user should know. A verb that had nothing to do says nothing. Only verbs
	// need it.
	Say func(line string)
}

func (s *Service) say(format string, args ...any) { s.Say(fmt.Sprintf(format, args...)) }

// State returns the state. An unreachable manager is not an error: it is in
// State.Reach.
func (s *Service) State(ctx context.Context) (State, error) {
	st, err := s.query(ctx)
	st.Reach = err
	return st.State, ctx.Err()
}

func (s *Service) query(ctx context.Context) (status, error) {
	st, err := s.m.query(ctx)
	_, missing := os.Stat(st.File)
	st.Installed = missing == nil
	return st, err
}

// installed returns the state, or an error if there is nothing to start or stop.
func (s *Service) installed(ctx context.Context) (status, error) {
	st, err := s.query(ctx)
	if err == nil && !st.Installed && !st.up {
		err = errors.New("the service is not installed; 'agent install' does it")
	}
	return st, err
}

// Install makes this program, with spec, the user's service. It copies the
// program, by the rule of package place, which sets spec.Binary. It writes the
// definition, has the agent started at every login, and starts it, or restarts it
// if it is running with another definition or program. It returns once the agent
// is ready.
func (s *Service) Install(ctx context.Context, spec Spec) error {
	before, err := s.query(ctx)
	if err != nil {
		return err
	}
	binary, copied, err := place.Put()
	if err != nil {
		return fmt.Errorf("putting the service's program in place: %w", err)
	}
	if copied {
		s.say("copied this program to %s", binary)
	}
	spec.Binary = binary
	wrote, err := s.m.install(ctx, spec)
	if wrote != "" {
		s.say("wrote %s", wrote)
	}
	if err != nil {
		return fmt.Errorf("installing the service: %w", err)
	}
	if !before.Enabled {
		s.say("enabled it: it starts at every login")
	}
	if wrote != "" && before.Linger == LingerOff {
		s.say("note: it ends when you log out; 'agent install --linger' lets it run from boot to shutdown")
	}
	if before.Running && wrote == "" && !outdated(before, spec.Binary) {
		return nil
	}
	return s.restart(ctx, before)
}

// outdated reports whether a running agent is not what would be started now: it
// is older than its definition, or runs another binary.
func outdated(st status, binary string) bool {
	definition, err := os.Stat(st.File)
	if err == nil && !st.started.IsZero() && definition.ModTime().After(st.started) {
		return true
	}
	// Only Linux shows what a process runs.
	process, perr := os.Stat(fmt.Sprintf("/proc/%d/exe", st.PID))
	program, err := os.Stat(binary)
	return perr == nil && err == nil && !os.SameFile(process, program)
}

// Start starts the service.
func (s *Service) Start(ctx context.Context) error {
	before, err := s.installed(ctx)
	if err != nil || before.Running {
		return err
	}
	return s.restart(ctx, before)
}

// Restart stops the service, if it runs, and starts it.
func (s *Service) Restart(ctx context.Context) error {
	before, err := s.installed(ctx)
	if err != nil {
		return err
	}
	return s.restart(ctx, before)
}

// restart stops the agent, if it is up, and starts it. It returns once the agent
// is ready.
func (s *Service) restart(ctx context.Context, before status) error {
	did := "started"
	if before.up {
		did = "restarted"
		if err := s.stopAndWait(ctx); err != nil {
			return err
		}
	}
	if err := s.m.start(ctx); err != nil {
		return s.explain(ctx, "starting the service", err)
	}
	now, err := s.waitUntil(ctx, func(st status) bool { return st.Running })
	if err != nil {
		return s.explain(ctx, "waiting for the agent to be ready", err)
	}
	s.say("%s it: %s", did, now.Detail)
	return nil
}

// stopAndWait stops the agent and returns once it has ended.
func (s *Service) stopAndWait(ctx context.Context) error {
	err := s.m.stop(ctx)
	if err == nil {
		_, err = s.waitUntil(ctx, func(st status) bool { return !st.up })
	}
	if err != nil {
		return s.explain(ctx, "stopping the service", err)
	}
	return nil
}

// Stop stops the service, until the next login or Start.
func (s *Service) Stop(ctx context.Context) error {
	before, err := s.installed(ctx)
	if err != nil || !before.up {
		return err
	}
	if err := s.stopAndWait(ctx); err != nil {
		return err
	}
	s.say("stopped it")
	if before.Enabled {
		s.say("note: it starts again at the next login; 'agent uninstall' removes it")
	}
	return nil
}

// Uninstall stops the service and removes all that Install has made. The
// agent's own state and the projects' spools stay.
func (s *Service) Uninstall(ctx context.Context) error {
	before, err := s.query(ctx)
	if err != nil {
		return err
	}
	if before.up {
		if err := s.stopAndWait(ctx); err != nil {
			return err
		}
		s.say("stopped it")
	}
	if err := s.m.uninstall(ctx, before); err != nil {
		return s.explain(ctx, "removing the service", err)
	}
	after, err := s.query(ctx)
	if err != nil {
		return err
	}
	if before.Enabled && !after.Enabled {
		s.say("disabled it")
	}
	if before.Installed && (!after.Installed || after.File != before.File) {
		s.say("removed %s", before.File)
		if before.Linger == LingerOn {
			s.say("note: lingering stays on, other services may need it; 'loginctl disable-linger' ends it")
		}
	}
	program, removed, err := place.Remove()
	if err != nil {
		return fmt.Errorf("removing the service's program: %w", err)
	}
	if removed {
		s.say("removed %s", program)
	}
	if after.Installed {
		s.say("note: there is another definition, which was not made by 'agent install': %s", after.File)
	}
	return nil
}

// EnableLinger lets the user's services, all of them, run without the user
// logged in. It may start the manager that could not be reached before.
func (s *Service) EnableLinger(ctx context.Context) error {
	m, ok := s.m.(interface{ linger(context.Context) error })
	if !ok {
		return errors.New("there is no lingering on this system: the agent runs while you are logged in")
	}
	if st, _ := s.query(ctx); st.Linger == LingerOn {
		return nil
	}
	if err := m.linger(ctx); err != nil {
		return fmt.Errorf("turning lingering on: %w", err)
	}
	s.say("turned lingering on, for all services of this user")
	return nil
}

// doneWithin is how long a verb waits for the agent once the manager has said
// that it is started or stopped.
const doneWithin = 30 * time.Second

func (s *Service) waitUntil(ctx context.Context, wanted func(status) bool) (status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, doneWithin, fmt.Errorf("not done within %s", doneWithin))
	defer cancel()
	for {
		st, err := s.query(ctx)
		switch {
		case ctx.Err() != nil:
			return st, context.Cause(ctx)
		case err != nil || wanted(st):
			return st, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// explain adds to the error of a step what the manager says of the service.
func (s *Service) explain(ctx context.Context, doing string, err error) error {
	st, qerr := s.query(ctx)
	if qerr != nil || st.Detail == "" {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w; it is %s; see why: %s", doing, err, st.Detail, st.Logs)
}

// askWithin is how long a manager's command may take.
const askWithin = 20 * time.Second

// command runs a manager's command and returns what it prints. The error has the
// first line of the command's own complaint.
func command(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askWithin, fmt.Errorf("no answer within %s", askWithin))
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err == nil {
		return string(out), nil
	}
	var failed *exec.ExitError
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	} else if errors.As(err, &failed) && len(failed.Stderr) > 0 {
		said, _, _ := strings.Cut(string(failed.Stderr), "\n")
		err = errors.New(strings.TrimSpace(said))
	}
	return "", fmt.Errorf("%s: %w", name, err)
}

// NoManagerError says that no service manager can be reached.
type NoManagerError struct {
	Why    error
	Advice string // lines that say how the agent is run without one
}

func (e *NoManagerError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("no service manager can be reached: %v\n%s", e.Why, e.Advice), "\n")
}

func (e *NoManagerError) Unwrap() error { return e.Why }

// noManager has the advice name the program by its path, since cron looks for
// programs in system directories only.
func noManager(why error) error {
	program, _ := os.Executable()
	run := quote.Shell(cmp.Or(program, "agent")) + " run --service"
	return &NoManagerError{why, fmt.Sprintf(`To run the agent without one, until it is killed:
%s &
To have cron start it whenever the machine starts, add this line with 'crontab -e':
@reboot %s`, run, strings.ReplaceAll(run, "%", `\%`))}
}
