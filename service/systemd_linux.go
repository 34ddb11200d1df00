package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	kardianos "github.com/kardianos/service"
	"golang.org/x/sys/unix"
)

// systemd is the user's own instance of systemd.
type systemd struct {
	home string
	unit kardianos.Service
}

func newSystemd() (*systemd, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("finding the user's units: %w", err)
	}
	unit, err := kardianos.New(nil, &kardianos.Config{
		Name:   Name,
		Option: kardianos.KeyValue{"UserService": true},
	})
	if err != nil {
		return nil, fmt.Errorf("finding systemd: %w", err)
	}
	return &systemd{home: home, unit: unit}, nil
}

func (m *systemd) definition(spec Spec) ([]byte, error) {
	unit, err := systemdUnit(spec)
	return []byte(unit), err
}

func (m *systemd) binaryOf(definition []byte) string { return unitBinary(string(definition)) }

// unitDir is the place for the user's own units, in the manager's eyes: it may
// have been started without the XDG_CONFIG_HOME that a shell has.
func (m *systemd) unitDir(searched string) string {
	if config := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(config) {
		if dir := filepath.Join(config, "systemd", "user"); lists(searched, dir) {
			return dir
		}
	}
	return filepath.Join(m.home, ".config", "systemd", "user")
}

// lists reports whether systemctl's print of a list of paths has this one. It
// quotes as shells do, or, in older versions, escapes blanks.
func lists(printed, path string) bool {
	for _, form := range []string{
		path,
		`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(path) + `"`,
		strings.NewReplacer(`\`, `\\`, " ", `\x20`).Replace(path),
	} {
		if strings.Contains(" "+printed+" ", " "+form+" ") {
			return true
		}
	}
	return false
}

func (m *systemd) query(ctx context.Context) (status, error) {
	st := status{State: State{
		Manager: "systemd --user",
		File:    filepath.Join(m.unitDir(""), unitName),
		Logs:    "journalctl --user -u " + Name,
		Linger:  lingering(),
	}}
	if fi, err := os.Stat(m.home); err == nil && !ownedByUs(fi) {
		return st, fmt.Errorf("the home directory %s is another user's: run this as that user, without sudo", m.home)
	}

	manager, err := m.show(ctx, "UnitPath")
	if err != nil {
		return st, m.unreachable(ctx, err)
	}
	st.File = filepath.Join(m.unitDir(manager["UnitPath"]), unitName)

	p, err := m.show(ctx, "LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "MainPID", "UnitFileState",
		"FragmentPath", "NeedDaemonReload", "ExecMainStartTimestampMonotonic", unitName)
	if err != nil {
		return st, m.unreachable(ctx, err)
	}
	st.loaded = p["LoadState"] != "not-found"
	if fragment := p["FragmentPath"]; fragment != st.File {
		st.other = fragment
	}
	st.Enabled = p["UnitFileState"] == "enabled"
	st.Running = p["ActiveState"] == "active" || p["ActiveState"] == "reloading"
	st.up = p["ActiveState"] != "inactive" && p["ActiveState"] != "failed"
	st.stale = p["NeedDaemonReload"] == "yes"
	st.PID, _ = strconv.Atoi(p["MainPID"]) // of systemd's making
	st.Detail = p["ActiveState"] + " (" + p["SubState"] + ")"
	if load := p["LoadState"]; load != "loaded" {
		st.Detail += ", " + load // not-found, masked, bad-setting
	}
	if result := p["Result"]; result != "" && result != "success" {
		st.Detail += ", " + result
		if result == "exit-code" {
			st.Detail += " " + p["ExecMainStatus"]
		}
	}
	if started, err := strconv.ParseInt(p["ExecMainStartTimestampMonotonic"], 10, 64); err == nil && started > 0 {
		st.started = time.Now().Add(time.Duration(started)*time.Microsecond - monotonic())
	}
	return st, nil
}

// monotonic is the time of the clock by which systemd dates what it does.
func monotonic() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail with this clock
	return time.Duration(ts.Nano())
}

// show asks for properties: those of the manager, or of a unit that is named last.
func (m *systemd) show(ctx context.Context, properties ...string) (map[string]string, error) {
	args := []string{"show"}
	if last := len(properties) - 1; properties[last] == unitName {
		args, properties = append(args, unitName), properties[:last]
	}
	out, err := m.systemctl(ctx, append(args, "-p", strings.Join(properties, ","))...)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			values[name] = value
		}
	}
	return values, nil
}

func (m *systemd) systemctl(ctx context.Context, args ...string) (string, error) {
	return command(ctx, askWithin, "systemctl", append([]string{"--user", "--no-pager"}, args...)...)
}

// unreachable says what to do about a manager that does not answer.
func (m *systemd) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	uid := os.Getuid()
	runtime := fmt.Sprintf("/run/user/%d", uid)
	_, running := os.Stat(runtime + "/systemd/private")
	var mend string
	switch {
	case uid == 0 && os.Getenv("SUDO_UID") != "" && os.Getenv("SUDO_UID") != "0":
		mend = "run this as yourself, without sudo"
	case running == nil && os.Getenv("XDG_RUNTIME_DIR") != runtime:
		mend = "this shell is of no login session: 'export XDG_RUNTIME_DIR=" + runtime + "', and try again"
	default:
		mend = "log in as this user, by ssh for example (su and sudo do not start a user manager), or let an administrator run 'loginctl enable-linger " +
			userName() + "', and try again; where there is no user manager, let another program keep 'agent run --service' running, such as cron with a line '@reboot agent run --service'"
	}
	return fmt.Errorf("the systemd user manager cannot be reached (%w): %s", err, mend)
}

func (m *systemd) enable(ctx context.Context, st status) error {
	if err := m.reload(ctx); err != nil {
		return err
	}
	p, err := m.show(ctx, "FragmentPath", unitName)
	if err != nil {
		return err
	}
	switch from := p["FragmentPath"]; from {
	case st.File:
	case "":
		err := os.Remove(st.File)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s was removed meanwhile; try again", st.File)
		}
		return errors.Join(errors.New("the user manager does not read units there: it was started with another HOME or XDG_CONFIG_HOME than this shell has"), err)
	default:
		return fmt.Errorf("the user manager prefers another definition, %s; remove that one", from)
	}
	_, err = m.systemctl(ctx, "enable", unitName)
	return err
}

func (m *systemd) reload(ctx context.Context) error {
	_, err := m.systemctl(ctx, "daemon-reload")
	return err
}

// The three wait until systemd has done it, or given up, which the unit's
// timeouts limit.

func (m *systemd) start(context.Context, status) error   { return m.unit.Start() }
func (m *systemd) restart(context.Context, status) error { return m.unit.Restart() }
func (m *systemd) stop(context.Context, status) error    { return m.unit.Stop() }

func (m *systemd) disable(ctx context.Context, st status) error {
	if !st.Enabled {
		return nil
	}
	_, err := m.systemctl(ctx, "disable", unitName)
	return err
}

// forget removes what a disable that was killed, or a unit that was removed by
// hand, has left: links to no unit.
func (m *systemd) forget(ctx context.Context, st status) error {
	dir := filepath.Dir(st.File)
	wants := filepath.Join(dir, "default.target.wants")
	link := filepath.Join(wants, unitName)
	if _, err := os.Stat(link); errors.Is(err, os.ErrNotExist) {
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, d := range []string{wants, dir, filepath.Dir(dir)} {
		os.Remove(d) // succeeds only if it is empty, and then nobody misses it
	}
	if err := m.reload(ctx); err != nil {
		return err
	}
	p, err := m.show(ctx, "ActiveState", unitName)
	if err != nil || p["ActiveState"] != "failed" {
		return err
	}
	_, err = m.systemctl(ctx, "reset-failed", unitName)
	return err
}

func (m *systemd) linger(ctx context.Context, on bool) error {
	verb := "enable-linger"
	if !on {
		verb = "disable-linger"
	}
	name := userName()
	if _, err := command(ctx, askWithin, "loginctl", "--no-ask-password", verb, name); err != nil {
		return fmt.Errorf("%w; an administrator can: 'sudo loginctl %s %s'", err, verb, name)
	}
	return nil
}

// lingering asks the files in which systemd-logind keeps it.
func lingering() Linger {
	const dir = "/var/lib/systemd/linger"
	name := userName()
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return LingerUnknown
	}
	_, err := os.Stat(filepath.Join(dir, name))
	switch {
	case err == nil:
		return LingerOn
	case !errors.Is(err, os.ErrNotExist):
		return LingerUnknown
	}
	return LingerOff
}

func userName() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func ownedByUs(fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return !ok || int(st.Uid) == os.Geteuid()
}
