package service

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// launchd runs the user's agents in the domain of the graphical session.
type launchd struct {
	plist, log     string
	domain, target string
}

// New is the service of the user who runs this program.
func New() (*Service, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("finding the user's LaunchAgents: %w", err)
	}
	domain := fmt.Sprintf("gui/%d", os.Getuid())
	return &Service{&launchd{
		plist:  filepath.Join(home, "Library", "LaunchAgents", Name+".plist"),
		log:    filepath.Join(home, "Library", "Logs", Name, "agent.log"),
		domain: domain,
		target: domain + "/" + Name,
	}}, nil
}

func (m *launchd) definition(spec Spec) ([]byte, error) {
	plist, err := launchdPlist(spec, m.log)
	return []byte(plist), err
}

func (m *launchd) binaryOf(definition []byte) string { return plistBinary(string(definition)) }

func (m *launchd) query(ctx context.Context) (status, error) {
	st := status{State: State{
		Manager: "launchd",
		File:    m.plist,
		Logs:    "tail -n 50 '" + m.log + "'",
		Linger:  LingerNone,
	}}
	if _, err := command(ctx, askWithin, "launchctl", "print", m.domain); err != nil {
		if ctx.Err() != nil {
			return st, ctx.Err()
		}
		return st, fmt.Errorf("launchd has no graphical session of this user (%w): log in at the screen; without one, let another program keep 'agent run --service' running", err)
	}
	disabled, err := command(ctx, askWithin, "launchctl", "print-disabled", m.domain)
	if err != nil {
		return st, err
	}
	_, ferr := os.Stat(m.plist)
	st.Enabled = ferr == nil && !saysDisabled(disabled)

	out, err := command(ctx, askWithin, "launchctl", "print", m.target)
	if err != nil { // it is not loaded
		st.Detail = "not loaded"
		return st, ctx.Err()
	}
	st.loaded, st.up = true, true
	for line := range strings.Lines(out) {
		// The entry's own lines are indented once, those of its parts deeper.
		line, own := strings.CutPrefix(strings.TrimRight(line, "\n"), "\t")
		name, value, ok := strings.Cut(line, " = ")
		if !own || !ok {
			continue
		}
		switch name {
		case "state":
			st.Detail = value
			st.Running = value == "running"
		case "pid":
			st.PID, _ = strconv.Atoi(value) // 0 is unknown
		}
	}
	return st, nil
}

// saysDisabled finds the service in the list of what was disabled by hand.
func saysDisabled(list string) bool {
	lines := bufio.NewScanner(strings.NewReader(list))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), `"`+Name+`" => `); ok {
			return value == "disabled" || value == "true"
		}
	}
	return false
}

// enable loads the definition, which starts the agent.
func (m *launchd) enable(ctx context.Context, st status) error {
	if err := os.MkdirAll(filepath.Dir(m.log), 0o700); err != nil {
		return err
	}
	if st.loaded {
		if err := m.stop(ctx, st); err != nil {
			return err
		}
	}
	if _, err := command(ctx, askWithin, "launchctl", "enable", m.target); err != nil {
		return err
	}
	return m.load(ctx)
}

func (m *launchd) load(ctx context.Context) error {
	_, err := command(ctx, askWithin, "launchctl", "bootstrap", m.domain, m.plist)
	return err
}

func (m *launchd) start(ctx context.Context, st status) error {
	if !st.loaded {
		if err := m.load(ctx); err != nil {
			return err
		}
	}
	_, err := command(ctx, askWithin, "launchctl", "kickstart", m.target)
	return err
}

func (m *launchd) restart(ctx context.Context, st status) error {
	if !st.loaded {
		return m.start(ctx, st)
	}
	_, err := command(ctx, askWithin, "launchctl", "kickstart", "-k", m.target)
	return err
}

// stop unloads the agent, since launchd would start it again otherwise. The
// next login loads it. Until it has gone, launchd would refuse to load it.
func (m *launchd) stop(ctx context.Context, _ status) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, err := command(ctx, askWithin, "launchctl", "bootout", m.target)
	for {
		if _, gone := command(ctx, askWithin, "launchctl", "print", m.target); gone != nil && ctx.Err() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return cmp.Or(err, errors.New("the agent does not end"))
		case <-time.After(lookEvery):
		}
	}
}

func (m *launchd) disable(context.Context, status) error { return nil }
func (m *launchd) forget(context.Context, status) error  { return nil }

func (m *launchd) linger(context.Context, bool) error { return nil }
