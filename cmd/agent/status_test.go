package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"spoolagent/agent"
	"spoolagent/agent/status"
)

func TestShortened(t *testing.T) {
	for _, c := range []struct {
		path  string
		width int
		want  string
	}{
		{"/home/u/p", 9, "/home/u/p"},
		{"~/code/company/department/spool-agent", 22, "…epartment/spool-agent"},
		{"/äöü/äöü/äöü", 8, "…äöü/äöü"},
	} {
		if got := shortened(c.path, c.width); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.path, c.width, got, c.want)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		-time.Hour:           "0s ago",
		119 * time.Second:    "119s ago",
		2 * time.Minute:      "2m ago",
		119 * time.Minute:    "119m ago",
		47 * time.Hour:       "47h ago",
		100 * 24 * time.Hour: "100d ago",
	} {
		if got := age(now.Add(-ago).Format(time.RFC3339), now); got != want {
			t.Errorf("%v: %q, want %q", ago, got, want)
		}
	}
	if got := age("", now); got != "never" {
		t.Errorf("%q", got)
	}
}

// What needs attention comes first, and of thousands of notes few are shown.
func TestReportOfManyProjects(t *testing.T) {
	r := &statusReport{}
	for i := range 5000 {
		path := fmt.Sprintf("/code/p%04d", i)
		r.Projects = append(r.Projects, status.ProjectStatus{Path: path, State: agent.StateServing},
			status.ProjectStatus{Path: path + "y", State: agent.StatePolling, Error: "polled, for the limit is reached"},
			status.ProjectStatus{Path: path + "x", State: agent.StateError, Error: "reason", Advice: "mend it"})
	}
	lines := r.lines(80, false, time.Now())
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"LAST FOLD\n/code/p0000x  error ",
		"never\n/code/p0000y  polling ",
		"never\n/code/p0000   serving ",
		"\n\nerror: /code/p0000x: reason\n  do: mend it\n",
		"\n... and 9988 more notes, which --json has",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%.3000s", want, text)
		}
	}
	if more := len(lines) - len(r.Projects); more > 50 {
		t.Errorf("%d lines beside those of the projects", more)
	}
}

func TestCut(t *testing.T) {
	for height := range 7 {
		got := cut([]string{"a", "b", "c", "d"}, height)
		if whole := height >= 4; len(got) > max(height, 1) || (got[len(got)-1] == "d") != whole {
			t.Errorf("in %d lines: %q", height, got)
		}
	}
}

func TestServiceInOneLine(t *testing.T) {
	for _, c := range []struct {
		f    serviceFacts
		want string
	}{
		{serviceFacts{none: true, Error: "no systemd"}, "none on this system ('agent doctor' says more)"},
		{serviceFacts{Error: "no answer within 1s"}, "unknown, no answer within 1s"},
		{serviceFacts{}, "not installed ('agent install' does it)"},
		{serviceFacts{Installed: true, Error: "no bus\x1b"}, `installed, the rest is unknown: "no bus\x1b"`},
		{serviceFacts{Installed: true, Enabled: true, Running: true, Detail: "active (running)", Logs: "journalctl --user -u x"},
			"enabled, active (running); log: journalctl --user -u x"},
		{serviceFacts{Installed: true, Enabled: true, Detail: "failed (exit-code)"}, "enabled, failed (exit-code)"},
		{serviceFacts{Installed: true, Running: true}, "not enabled ('agent install' does it), running"},
		{serviceFacts{Installed: true, Enabled: true}, "enabled, not running"},
	} {
		if got := c.f.line(false); got != c.want {
			t.Errorf("%+v: %q, want %q", c.f, got, c.want)
		}
	}
}

func TestHeadOfAReport(t *testing.T) {
	running := status.Status{Running: true, PID: 7, Version: "v0.0.1", StartedAt: "2026-01-02T03:04:05Z",
		Projects: []status.ProjectStatus{{Path: "/p"}}}
	service := running
	service.Service = true
	stopped := status.Status{Projects: running.Projects, Problem: "configuration refused: x"}
	for _, c := range []struct {
		s    statusReport
		want string // part of it
	}{
		{statusReport{Status: running}, "the running agent is not: stop it and start it again"},
		{statusReport{Status: service}, "the running agent is not: 'agent install'"},
		{statusReport{Status: stopped}, "problem: configuration refused: x"},
		{statusReport{Status: stopped}, "no agent is running ('agent install', "},
		{statusReport{Status: stopped, strays: []error{errors.New("b\x1b")}}, `wrong with the registry: 1, such as "b\x1b"; see`},
	} {
		text := strings.Join(c.s.head(false), "\n")
		if c.s.Service == nil && strings.Contains(text, "service:") {
			t.Errorf("it was not asked, but:\n%s", text)
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("no %q in:\n%s", c.want, text)
		}
	}
}

// A version leaves room for the rest of status' first line.
func TestShortVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3":                             "v1.2.3",
		"v1.2.3-rc1":                         "v1.2.3-rc1",
		"(devel)":                            "(devel)",
		"v0.0.0-20251123000000-0123456789ab": "0123456",
		"v1.2.4-0.20251123000000-0123456789ab+dirty":     "0123456+dirty",
		"v1.2.3-rc1.0.20251123000000-0123456789ab+dirty": "0123456+dirty",
	} {
		if got := short(version); got != want {
			t.Errorf("%s is cut to %s, want %s", version, got, want)
		}
	}
}
