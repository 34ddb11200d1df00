package service

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	"spoolagent/internal/place"
)

// tasks is the Task Scheduler. It keeps its definitions to itself, so the one
// that it was given last is in file, too.
type tasks struct {
	file string
	user string
}

const noTask = "no task"

// New is the service of the user who runs this program.
func New() (*Service, error) {
	dir, err := os.UserCacheDir() // %LocalAppData%
	if err != nil {
		return nil, fmt.Errorf("finding the place for the task's definition: %w", err)
	}
	u, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("finding the user's name: %w", err)
	}
	return &Service{m: &tasks{file: filepath.Join(dir, Name, "task.xml"), user: u.Username}}, nil
}

// query asks for the state as a number, since words differ by language, and looks
// for the task in a list, where it may be missing without an error.
func (m *tasks) query(ctx context.Context) (status, error) {
	st := status{State: State{Manager: "Task Scheduler", File: m.file, Logs: "agent status"}}
	if definition, err := os.ReadFile(m.file); err == nil {
		st.Binary = taskBinary(fromUTF16(definition))
	}
	out, err := command(ctx, "powershell", "-NoProfile", "-NonInteractive", "-Command",
		"$ErrorActionPreference = 'Stop'; $t = @(Get-ScheduledTask | Where-Object { $_.TaskName -eq '"+Name+"' -and $_.TaskPath -eq '\\' }); "+
			"if ($t.Count -gt 0) { [int]$t[0].State }")
	if err != nil {
		return st, fmt.Errorf("the Task Scheduler cannot be asked: %w", err)
	}
	words := map[string]string{"1": "disabled", "2": "queued", "3": "ready", "4": "running"}
	st.Detail = cmp.Or(words[strings.TrimSpace(out)], noTask)
	st.Enabled = st.Detail != noTask && st.Detail != "disabled"
	st.Running = st.Detail == "running"
	st.up = st.Running || st.Detail == "queued"
	return st, nil
}

func (m *tasks) schtasks(ctx context.Context, verb string, args ...string) error {
	_, err := command(ctx, "schtasks", append([]string{verb, "/TN", Name}, args...)...)
	return err
}

func (m *tasks) install(ctx context.Context, spec Spec) (wrote string, err error) {
	text, err := taskXML(spec, m.user, syscall.EscapeArg)
	if err != nil {
		return "", err
	}
	wrote, err = place.Replace(m.file, utf16Text(text), 0o644)
	if err != nil {
		return "", err
	}
	return wrote, m.schtasks(ctx, "/Create", "/XML", m.file, "/F")
}

func (m *tasks) start(ctx context.Context) error { return m.schtasks(ctx, "/Run") }
func (m *tasks) stop(ctx context.Context) error  { return m.schtasks(ctx, "/End") }

func (m *tasks) uninstall(ctx context.Context, before status) error {
	if before.Detail != noTask {
		if err := m.schtasks(ctx, "/Delete", "/F"); err != nil {
			return err
		}
	}
	os.Remove(place.Aside(m.file))
	if err := os.Remove(m.file); err != nil && !os.IsNotExist(err) {
		return err
	}
	os.Remove(filepath.Dir(m.file)) // succeeds only if it is empty
	return nil
}
