package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Name is the service's name, on all systems.
const Name = "spool-agent"

// Spec is what the service is to run. See Executable for the binary.
type Spec struct {
	Binary string            // absolute path of the agent
	Args   []string          // what comes after it
	Env    map[string]string // variables that the agent must see besides the manager's own
}

// Linger says whether the user's services run without the user logged in.
type Linger int

const (
	LingerUnknown Linger = iota
	LingerNone           // there is no such thing on this system
	LingerOff
	LingerOn
)

// String is the word for it.
func (l Linger) String() string {
	switch l {
	case LingerNone:
		return "none"
	case LingerOff:
		return "off"
	case LingerOn:
		return "on"
	}
	return "unknown"
}

// State is how things are with the service.
type State struct {
	Manager   string // who runs it: "systemd --user", "launchd" or "Task Scheduler"
	Reach     error  // why the manager cannot be asked; then Enabled, Running and PID are unknown
	Installed bool
	Enabled   bool   // it starts at login, or at boot with lingering
	Running   bool   // and has said that it is ready, where the manager listens for that
	PID       int    // 0 if it does not run, or the manager does not tell
	Detail    string // the manager's own words, such as "active (running)"
	Binary    string // what the installed definition starts; empty if that cannot be read
	File      string // the definition's path, whether it is there or not
	Logs      string // a command that shows the log
	Linger    Linger
}

// Change is what a verb has done.
type Change struct {
	Done  []string // a line for each step, in order; empty if there was nothing to do
	Notes []string // what to know besides, a line each
	State State    // afterwards
}

func (c *Change) did(format string, args ...any) {
	c.Done = append(c.Done, fmt.Sprintf(format, args...))
}

func (c *Change) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// status is a State, and what only this package has to know.
type status struct {
	State
	up      bool      // it runs, or is about to: there is something to stop
	loaded  bool      // the manager knows a definition
	other   string    // it knows that one, which Install has not written, from a package, say
	stale   bool      // the manager has not read the definition as it is now
	started time.Time // when it was started; zero if unknown
}

// manager has the steps, for one system. A step tries to do the thing, without
// asking whether it is needed, and returns once it is done.
type manager interface {
	// query asks how things are. Its error is State.Reach; the rest is then
	// filled in as far as files tell it.
	query(ctx context.Context) (status, error)

	// definition is what to write to State.File.
	definition(spec Spec) ([]byte, error)
	// binaryOf is the binary that a definition starts.
	binaryOf(definition []byte) string

	enable(ctx context.Context, st status) error // has the definition read, and started at login
	start(ctx context.Context, st status) error
	restart(ctx context.Context, st status) error
	stop(ctx context.Context, st status) error
	disable(ctx context.Context, st status) error // the opposite of enable, before the definition goes
	forget(ctx context.Context, st status) error  // what is left to do once it has gone

	linger(ctx context.Context, on bool) error // not called where there is none
}

// Service is the agent's service for the user who runs this program. Its
// methods may be called concurrently, but are of no use so.
type Service struct{ m manager }

// readyWithin is how long a verb waits for the agent to be ready once the
// manager has said that it is started.
const readyWithin = 15 * time.Second

const lookEvery = 50 * time.Millisecond

// State says how things are. An unreachable manager is no error, but in
// State.Reach.
func (s *Service) State(ctx context.Context) (State, error) {
	st, err := s.query(ctx)
	if ctx.Err() != nil {
		return State{}, ctx.Err()
	}
	st.Reach = err
	if !st.Installed && st.other != "" {
		st.Installed, st.File = true, st.other
		if data, err := readDefinition(st.other); err == nil {
			st.Binary = s.m.binaryOf(data)
		}
	}
	return st.State, nil
}

// query adds to what the manager says what the definition does.
func (s *Service) query(ctx context.Context) (status, error) {
	st, err := s.m.query(ctx)
	data, ferr := readDefinition(st.File)
	if ferr == nil {
		st.Installed = true
		st.Binary = s.m.binaryOf(data)
	}
	return st, err
}

// Install makes spec the user's service: it writes the definition, has it
// started at every login, and starts it; or restarts it, if it is running
// with another definition or binary. It returns once the agent is ready.
func (s *Service) Install(ctx context.Context, spec Spec) (Change, error) {
	var c Change
	if !filepath.IsAbs(spec.Binary) {
		return c, fmt.Errorf("the service needs the absolute path of the agent, not %q", spec.Binary)
	}
	text, err := s.m.definition(spec)
	if err != nil {
		return c, err
	}
	before, err := s.query(ctx)
	if err != nil {
		return c, err
	}
	changed, err := replaceDefinition(before.File, text)
	if err != nil {
		return c, err
	}
	if changed {
		c.did("wrote %s", before.File)
	}
	now := before
	if changed || before.stale || !before.Enabled {
		if err := s.m.enable(ctx, before); err != nil {
			return c, fmt.Errorf("enabling %s: %w", before.File, err)
		}
		if now, err = s.query(ctx); err != nil {
			return c, err
		}
		if !before.Enabled {
			c.did("enabled it: it starts at every login")
		}
	}
	started := now.Running && now.PID != before.PID // some managers start what they enable
	switch {
	case !now.up:
		started = true
		if err := s.m.start(ctx, now); err != nil {
			return c, s.why(ctx, "starting the service", err)
		}
	case !now.Running || outdated(now, spec.Binary):
		started = true
		if err := s.m.restart(ctx, now); err != nil {
			return c, s.why(ctx, "restarting the service", err)
		}
	}
	if err := s.waitReady(ctx, &c, before, started); err != nil {
		return c, err
	}
	if c.State.Linger == LingerOff {
		c.note("it ends when you log out; 'agent install --linger' lets it run from boot to shutdown")
	}
	return c, nil
}

// outdated reports whether a running agent is not what would be started now:
// it is older than its definition, or another binary.
func outdated(st status, binary string) bool {
	if fi, err := os.Stat(st.File); err == nil && !st.started.IsZero() && fi.ModTime().After(st.started) {
		return true
	}
	same, known := runs(st.PID, binary)
	return known && !same
}

// Start starts the service.
func (s *Service) Start(ctx context.Context) (Change, error) {
	var c Change
	before, err := s.installed(ctx)
	if err != nil {
		return c, err
	}
	if !before.Running {
		if err := s.m.start(ctx, before); err != nil {
			return c, s.why(ctx, "starting the service", err)
		}
	}
	return c, s.waitReady(ctx, &c, before, !before.Running)
}

// Restart stops the service, if it runs, and starts it.
func (s *Service) Restart(ctx context.Context) (Change, error) {
	var c Change
	before, err := s.installed(ctx)
	if err != nil {
		return c, err
	}
	if err := s.m.restart(ctx, before); err != nil {
		return c, s.why(ctx, "restarting the service", err)
	}
	return c, s.waitReady(ctx, &c, before, true)
}

// Stop stops the service, until the next login or Start.
func (s *Service) Stop(ctx context.Context) (Change, error) {
	var c Change
	before, err := s.installed(ctx)
	if err != nil {
		return c, err
	}
	c.State = before.State
	if !before.up {
		return c, nil
	}
	if err := s.stop(ctx, &c, before); err != nil {
		return c, err
	}
	if before.Enabled {
		c.note("it starts again at the next login; 'agent uninstall' removes it")
	}
	after, err := s.query(ctx)
	c.State = after.State
	return c, err
}

func (s *Service) stop(ctx context.Context, c *Change, st status) error {
	if err := s.m.stop(ctx, st); err != nil {
		return s.why(ctx, "stopping the service", err)
	}
	c.did("stopped it%s", pidOf(st.State))
	return nil
}

// Uninstall stops the service and removes all that Install has made. The
// agent's own state and the projects' spools stay.
func (s *Service) Uninstall(ctx context.Context) (Change, error) {
	var c Change
	before, err := s.query(ctx)
	if err != nil {
		if before.Installed {
			err = fmt.Errorf("%w; what 'agent install' has written is %s", err, before.File)
		}
		return c, err
	}
	if before.up {
		if err := s.stop(ctx, &c, before); err != nil {
			return c, err
		}
	}
	if before.loaded || before.Enabled {
		if err := s.m.disable(ctx, before); err != nil {
			return c, fmt.Errorf("disabling the service: %w", err)
		}
		if before.Enabled {
			c.did("disabled it")
		}
	}
	removed, err := removeDefinition(before.File)
	if err != nil {
		return c, err
	}
	if removed {
		c.did("removed %s", before.File)
	}
	if err := s.m.forget(ctx, before); err != nil {
		return c, fmt.Errorf("removing the service: %w", err)
	}
	after, err := s.query(ctx)
	c.State = after.State
	if after.other != "" {
		c.note("there is another definition, which was not made by 'agent install': %s", after.other)
	}
	if before.Linger == LingerOn && len(c.Done) > 0 {
		c.note("lingering stays on, other services may need it; 'loginctl disable-linger' ends it")
	}
	return c, err
}

// Linger lets the user's services, all of them, run without the user logged
// in, or not.
func (s *Service) Linger(ctx context.Context, on bool) (Change, error) {
	want, word := LingerOff, "off"
	if on {
		want, word = LingerOn, "on"
	}
	var c Change
	before, err := s.query(ctx)
	c.State = before.State
	c.State.Reach = err
	if before.Linger == LingerNone {
		return c, errors.New("there is no lingering on this system: the agent runs while you are logged in")
	}
	if before.Linger == want {
		return c, nil
	}
	if err := s.m.linger(ctx, on); err != nil {
		return c, fmt.Errorf("turning lingering %s: %w", word, err)
	}
	c.State.Linger = want
	c.did("turned lingering %s, for all services of this user", word)
	return c, nil
}

// installed is how things are, or an error if there is nothing to start or stop.
func (s *Service) installed(ctx context.Context) (status, error) {
	st, err := s.query(ctx)
	if err != nil {
		return st, err
	}
	if !st.Installed && !st.loaded && !st.up {
		return st, errors.New("the service is not installed; 'agent install' does it")
	}
	return st, nil
}

// waitReady waits for the agent to be ready, and says so if it was started.
func (s *Service) waitReady(ctx context.Context, c *Change, before status, started bool) error {
	ready, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		st, err := s.query(ctx)
		if err != nil {
			return err
		}
		c.State = st.State
		if st.Running {
			break
		}
		select {
		case <-ready.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the service was started, but it is not ready: %s; see why: %s", st.Detail, st.Logs)
		case <-time.After(lookEvery):
		}
	}
	switch {
	case !started:
	case before.Running:
		c.did("restarted it: %s%s", c.State.Detail, pidOf(c.State))
	default:
		c.did("started it: %s%s", c.State.Detail, pidOf(c.State))
	}
	return nil
}

// why adds to a step's error what the manager says of the service.
func (s *Service) why(ctx context.Context, doing string, err error) error {
	st, qerr := s.query(ctx)
	if qerr != nil || st.Detail == "" {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w; it is %s; see why: %s", doing, err, st.Detail, st.Logs)
}

func pidOf(st State) string {
	if st.PID == 0 {
		return ""
	}
	return fmt.Sprintf(", pid %d", st.PID)
}
