package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"spoolagent/internal/place"
)

const unitName = Name + ".service"

// systemd is the user's own instance of systemd.
type systemd struct {
	*unit
	user string
}

// New is the service of the user who runs this program. Its error may be that
// this system has no manager for it.
func New() (*Service, error) {
	// What the manual of sd_booted(3) says. Others guess from what is installed.
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil, noManager(errors.New("this machine is not run by systemd " +
			"(WSL is, with 'systemd=true' below '[boot]' in /etc/wsl.conf, after 'wsl --shutdown')"))
	}
	u, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("finding the user's name: %w", err)
	}
	unit, err := newUnit(".config", "systemd", "user", unitName)
	if err != nil {
		return nil, fmt.Errorf("finding the user's units: %w", err)
	}
	return &Service{m: &systemd{unit, u.Username}}, nil
}

func (m *systemd) query(ctx context.Context) (status, error) {
	st := status{State: State{
		Manager: "systemd --user",
		File:    m.file,
		Logs:    "journalctl --user -u " + Name,
		Linger:  LingerOff,
	}}
	if _, err := os.Stat(filepath.Join("/var/lib/systemd/linger", m.user)); err == nil { // where systemd-logind keeps it
		st.Linger = LingerOn
	}
	out, err := command(ctx, "systemctl", "--user", "show", unitName)
	if err != nil {
		return st, noManager(fmt.Errorf("systemd runs no services for %s (%w); log in as %[1]s, without sudo or su; "+
			"or run 'export XDG_RUNTIME_DIR=/run/user/%[3]d', and try again; "+
			"or have an administrator run 'loginctl enable-linger %[1]s'", m.user, err, os.Getuid()))
	}
	p := make(map[string]string)
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		p[name] = value
	}
	// Another one, of a package say, counts where there is none of ours.
	if there, _ := place.Exists(m.file); !there && p["FragmentPath"] != "" {
		st.File = p["FragmentPath"]
	}
	_, command, _ := strings.Cut(p["ExecStart"], "path=")
	st.Binary, _, _ = strings.Cut(command, " ; argv[]=")
	st.Enabled = p["UnitFileState"] == "enabled"
	st.Running = p["ActiveState"] == "active" || p["ActiveState"] == "reloading"
	st.up = p["ActiveState"] != "inactive" && p["ActiveState"] != "failed"
	st.PID, _ = strconv.Atoi(p["MainPID"]) // of systemd's making
	st.Detail = p["ActiveState"] + " (" + p["SubState"] + ")"
	for _, word := range []string{p["LoadState"], p["Result"]} { // such as masked, or exit-code
		if word != "loaded" && word != "success" && word != "" {
			st.Detail += ", " + word
		}
	}
	if started, err := strconv.ParseInt(p["ExecMainStartTimestampMonotonic"], 10, 64); err == nil && started > 0 {
		var now unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail with this clock
		st.started = time.Now().Add(time.Duration(started)*time.Microsecond - time.Duration(now.Nano()))
	}
	return st, nil
}

// bare removes quotes and escapes, which systemctl may print in a list of paths.
var bare = strings.NewReplacer(`\x20`, "", `\`, "", `"`, "", " ", "")

func (m *systemd) install(ctx context.Context, spec Spec) (wrote string, err error) {
	text, err := systemdUnit(spec)
	if err != nil {
		return "", err
	}
	searched, err := command(ctx, "systemctl", "--user", "show", "-p", "UnitPath")
	if err != nil {
		return "", err
	}
	if dir := filepath.Dir(m.file); !strings.Contains(bare.Replace(searched), bare.Replace(dir)) {
		return "", fmt.Errorf("the user manager does not read units in %s: it was started with another HOME, or with an XDG_CONFIG_HOME; take that out of its environment, and log in again", dir)
	}
	wrote, err = m.define(ctx, text)
	if err == nil {
		_, err = command(ctx, "systemctl", "--user", "daemon-reload")
	}
	if err == nil {
		_, err = command(ctx, "systemctl", "--user", "enable", unitName)
	}
	return wrote, err
}

// Both return once systemd has done it, or given up.

func (m *systemd) start(ctx context.Context) error { return withinLimit(ctx, m.Start) }
func (m *systemd) stop(ctx context.Context) error  { return withinLimit(ctx, m.Stop) }

// uninstall also removes a link to no unit: it is left if an uninstall was
// killed, or the unit was removed by hand.
func (m *systemd) uninstall(ctx context.Context, before status) error {
	if err := m.undefine(ctx); err != nil {
		return err
	}
	if before.Enabled && before.File != m.file {
		if _, err := command(ctx, "systemctl", "--user", "disable", unitName); err != nil {
			return err
		}
	}
	dir := filepath.Dir(m.file)
	wants := filepath.Join(dir, "default.target.wants")
	link := filepath.Join(wants, unitName)
	if _, err := os.Stat(link); os.IsNotExist(err) {
		os.Remove(link)
	}
	for _, d := range []string{wants, dir, filepath.Dir(dir)} {
		os.Remove(d) // succeeds only if it is empty, and then nobody misses it
	}
	command(ctx, "systemctl", "--user", "reset-failed", unitName) // succeeds only if it had failed
	_, err := command(ctx, "systemctl", "--user", "daemon-reload")
	return err
}

func (m *systemd) linger(ctx context.Context) error {
	if _, err := command(ctx, "loginctl", "--no-ask-password", "enable-linger", m.user); err != nil {
		return fmt.Errorf("%w; an administrator can: 'sudo loginctl enable-linger %s'", err, m.user)
	}
	return nil
}
