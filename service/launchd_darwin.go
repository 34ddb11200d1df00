package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// launchd runs the user's agents in the domain of the graphical session.
type launchd struct {
	*unit
	log            string
	domain, target string
}

// New is the service of the user who runs this program.
func New() (*Service, error) {
	u, err := newUnit("Library", "LaunchAgents", Name+".plist")
	if err != nil {
		return nil, fmt.Errorf("finding the user's LaunchAgents: %w", err)
	}
	domain := fmt.Sprintf("gui/%d", os.Getuid())
	return &Service{m: &launchd{
		unit:   u,
		log:    filepath.Join(filepath.Dir(filepath.Dir(u.file)), "Logs", Name, "agent.log"),
		domain: domain,
		target: domain + "/" + Name,
	}}, nil
}

func (m *launchd) query(ctx context.Context) (status, error) {
	st := status{State: State{Manager: "launchd", File: m.file, Logs: "tail -n 50 '" + m.log + "'"}}
	definition, rerr := os.ReadFile(m.file)
	st.Binary = plistBinary(string(definition))
	disabled, err := command(ctx, "launchctl", "print-disabled", m.domain)
	if err != nil {
		return st, noManager(fmt.Errorf("launchd has no graphical session of this user (%w); log in at the screen", err))
	}
	st.Enabled = rerr == nil && !strings.Contains(disabled, `"`+Name+`" => disabled`) && !strings.Contains(disabled, `"`+Name+`" => true`)

	out, err := command(ctx, "launchctl", "print", m.target)
	if err != nil {
		st.Detail = "not loaded"
		return st, ctx.Err()
	}
	st.up = true
	st.Detail = "not running"
	st.Running = strings.Contains(out, "\n\tstate = running\n") // the entry's own lines are indented once, those of its parts deeper
	if st.Running {
		st.Detail = "running"
	}
	return st, nil
}

func (m *launchd) install(ctx context.Context, spec Spec) (wrote string, err error) {
	text, err := launchdPlist(spec, m.log)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(m.log), 0o700); err != nil {
		return "", err
	}
	wrote, err = m.define(ctx, text)
	if err == nil {
		_, err = command(ctx, "launchctl", "enable", m.target)
	}
	return wrote, err
}

// start loads the definition, which starts the agent.
func (m *launchd) start(ctx context.Context) error {
	_, err := command(ctx, "launchctl", "bootstrap", m.domain, m.file)
	return err
}

// stop unloads the agent, since launchd would start it again otherwise. The
// next login loads it.
func (m *launchd) stop(ctx context.Context) error {
	command(ctx, "launchctl", "bootout", m.target) // also complains if it just takes a while; what counts is whether it ends
	return nil
}

func (m *launchd) uninstall(ctx context.Context, _ status) error {
	return m.undefine(ctx)
}
