package service

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// tasks is the Task Scheduler. It keeps definitions to itself; the one that
// was given to it last is kept in file.
type tasks struct {
	file string
	user string
}

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
	return &Service{&tasks{file: filepath.Join(dir, Name, "task.xml"), user: u.Username}}, nil
}

func (m *tasks) definition(spec Spec) ([]byte, error) {
	task, err := taskXML(spec, m.user)
	return utf16Text(task), err
}

func (m *tasks) binaryOf(definition []byte) string { return taskBinary(fromUTF16(definition)) }

// taskState is the word for the scheduler's numbers, which are the same in all
// languages.
func taskState(number string) string {
	switch number {
	case "1":
		return "disabled"
	case "2":
		return "queued"
	case "3":
		return "ready"
	case "4":
		return "running"
	}
	return "unknown"
}

func (m *tasks) query(ctx context.Context) (status, error) {
	st := status{State: State{
		Manager: "Task Scheduler",
		File:    m.file,
		Logs:    "agent status",
		Linger:  LingerNone,
	}}
	// A list, since a missing task is no error then.
	out, err := command(ctx, askWithin, "powershell", "-NoProfile", "-NonInteractive", "-Command",
		"$ErrorActionPreference = 'Stop'; $t = @(Get-ScheduledTask | Where-Object { $_.TaskName -eq '"+Name+"' -and $_.TaskPath -eq '\\' }); "+
			"if ($t.Count -gt 0) { [int]$t[0].State } else { 'none' }")
	if err != nil {
		if ctx.Err() != nil {
			return st, ctx.Err()
		}
		return st, fmt.Errorf("the Task Scheduler cannot be asked: %w", err)
	}
	number := strings.TrimSpace(out)
	if number == "none" {
		st.Detail = "no task"
		return st, nil
	}
	st.loaded = true
	st.Detail = taskState(number)
	st.Enabled = st.Detail != "disabled"
	st.Running = st.Detail == "running"
	st.up = st.Running || st.Detail == "queued"
	return st, nil
}

func (m *tasks) schtasks(ctx context.Context, verb string, args ...string) error {
	_, err := command(ctx, askWithin, "schtasks", append([]string{verb, "/TN", Name}, args...)...)
	return err
}

func (m *tasks) enable(ctx context.Context, st status) error {
	if st.up {
		if err := m.stop(ctx, st); err != nil {
			return err
		}
	}
	return m.schtasks(ctx, "/Create", "/XML", m.file, "/F")
}

func (m *tasks) start(ctx context.Context, _ status) error { return m.schtasks(ctx, "/Run") }
func (m *tasks) stop(ctx context.Context, _ status) error  { return m.schtasks(ctx, "/End") }

func (m *tasks) restart(ctx context.Context, st status) error {
	if st.up {
		if err := m.stop(ctx, st); err != nil {
			return err
		}
	}
	return m.start(ctx, st)
}

func (m *tasks) disable(ctx context.Context, _ status) error { return m.schtasks(ctx, "/Delete", "/F") }

func (m *tasks) forget(context.Context, status) error {
	os.Remove(filepath.Dir(m.file)) // succeeds only if it is empty
	return nil
}

func (m *tasks) linger(context.Context, bool) error { return nil }
