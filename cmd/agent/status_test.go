package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"spoolagent/agent"
	"spoolagent/agent/doctor"
	"spoolagent/agent/registry"
	"spoolagent/agent/status"
	"spoolagent/queue"
	"spoolagent/service"
	"spoolagent/spoolfiles/signal"
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

// shown are the lines of a page of that width.
func shown(f doctor.Facts, width int, terminal bool) []string {
	pg := &page{width: width, terminal: terminal}
	pg.status(f, false, time.Now())
	return pg.lines
}

func facts(s status.Status) doctor.Facts {
	return doctor.Facts{Version: "v0.0.1", Status: s, Registry: registry.Registry{Dir: "/nowhere"}}
}

// What needs attention comes first, and of thousands of findings few are shown.
func TestReportOfManyProjects(t *testing.T) {
	var s status.Status
	for i := range 5000 {
		path := fmt.Sprintf("/code/p%04d", i)
		s.Projects = append(s.Projects, status.ProjectStatus{Path: path, State: agent.StateServing},
			status.ProjectStatus{Path: path + "y", State: agent.StatePolling, Error: "polled, for the limit is reached"},
			status.ProjectStatus{Path: path + "x", State: agent.StateError, Error: "reason", Advice: "mend it"})
	}
	lines := shown(facts(s), 80, false)
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"DRAINED\n/code/p0000x  error ",
		"never\n/code/p0000y  polling ",
		"never\n/code/p0000   serving ",
		"\nfailure project.served: /code/p0000x: reason\n  do: mend it\n",
		"\n... and 9995 more of the same; 'agent doctor --json' has all\n\nPROJECT",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%.3000s", want, text)
		}
	}
	if more := len(lines) - len(s.Projects); more > 50 {
		t.Errorf("%d lines beside those of the projects", more)
	}
}

// A report fits the terminal, but for what is to be copied.
func TestReportFits(t *testing.T) {
	now := time.Now()
	s := status.Status{Running: true, PID: 1234567, Version: "v0.0.1-rc1", StartedAt: now.Format(time.RFC3339)}
	for _, path := range []string{"/home/user/code/company/department/spool-agent", "/short"} {
		s.Projects = append(s.Projects, status.ProjectStatus{
			Path: path, State: agent.StatePolling, Queued: 100, Cap: 100, Rejected: 7, EvictedSinceDrain: 12345, Off: true,
			Error:       "polled every 1s, for its file system is NFS, which tells of no changes that are made elsewhere",
			LastDrainAt: now.Add(-119 * time.Minute).Format(time.RFC3339),
			Activity: queue.Activity{
				"claude":                   {Last: now.Add(-119 * time.Minute), Hours: [24]int{999, 1, 23: 3}},
				"":                         {Last: now, Hours: [24]int{5: -1}},
				strings.Repeat("long", 50): {Last: now, Hours: [24]int{7}},
			},
			Ledger: status.Totals{Folded: 123456, Drained: 123456, Evicted: 12345},
		})
	}
	f := facts(s)
	f.Service = service.State{Installed: true, Enabled: true, Running: true, Detail: "active (running)", Logs: "journalctl --user -u spool-agent"}
	for _, width := range []int{60, 80, 132} {
		for _, line := range shown(f, width, true) {
			if n := utf8.RuneCountInString(line); n > width && !strings.HasPrefix(line, "  do: ") {
				t.Errorf("%d characters on %d: %s", n, width, line)
			}
		}
	}
	for i := range f.Status.Projects {
		delete(f.Status.Projects[i].Activity, strings.Repeat("long", 50))
	}
	text := strings.Join(shown(f, 80, true), "\n")
	for _, want := range []string{
		"PROJECT          STATE  QUEUED   LAST 24 HOURS             HOUR  DAY   DRAINED\n",
		"…nt/spool-agent  off    100/100  ▂▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂█  999   1002  119m\n",
		"\n  FROM    LAST 24 HOURS             HOUR  DAY   LAST\n  others  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  0     -1    0s ago\n" +
			"  claude  ▂▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂█  999   1003  119m ago\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	hoursCells([24]int{math.MaxInt, math.MaxInt, math.MinInt}, true) // from a file that is not ours
	if text := strings.Join(shown(f, 1000, false), "\n"); !strings.Contains(text, "QUEUED   HOUR  DAY   DRAINED\n") || strings.Contains(text, "▁") {
		t.Errorf("not on a terminal:\n%s", text)
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                  {""},
		"twenty characters, 20":             {"twenty characters,", "    20"},
		"ä ö ü ä ö ü ä ö ü ä":               {"ä ö ü ä ö ü ä ö ü ä"},
		"/a/path/that/is/longer/than/lines": {"/a/path/that/is/longer/than/lines"},
		"/a/path/that/is/longer/than/lines and more than that": {"/a/path/that/is/longer/than/lines", "    and more than", "    that"},
	} {
		pg := &page{width: 20}
		pg.say("", "", text)
		if diff := cmp.Diff(want, pg.lines); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestCut(t *testing.T) {
	for height := range 7 {
		pg := &page{width: 10, lines: []string{"a", "b", "  do: something long", "d"}}
		pg.cut(height)
		got := pg.lines
		if whole := height >= 4; len(got) > max(height, 1) || (got[len(got)-1] == "d") != whole || whole && got[2] != "  do: some" {
			t.Errorf("in %d lines: %q", height, got)
		}
	}
}

func TestServiceInOneLine(t *testing.T) {
	for _, c := range []struct {
		s    service.State
		want string
	}{
		{service.State{Reach: errors.New("no systemd")}, "service: none can be asked for here; 'agent doctor' says why"},
		{service.State{}, "service: not installed; 'agent install' does it"},
		{service.State{Installed: true, Reach: errors.New("no bus\x1b")}, `service: "cannot be asked: no bus\x1b"`},
		{service.State{Installed: true, Enabled: true, Running: true, Detail: "active (running)", Logs: "journalctl --user -u x"},
			"service: active (running); log: journalctl --user -u x"},
		{service.State{Installed: true, Enabled: true, Detail: "failed (exit-code)"}, "service: failed (exit-code)"},
		{service.State{Installed: true, Running: true}, "service: running, but not at login; 'agent install' changes that"},
		{service.State{Installed: true, Enabled: true}, "service: not running"},
	} {
		pg := &page{width: 1000}
		pg.service(c.s)
		if got := strings.Join(pg.lines, "\n"); got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
}

func TestHeadOfAReport(t *testing.T) {
	running := status.Status{Running: true, PID: 7, Version: "v0.0.0", StartedAt: "2026-01-02T03:04:05Z"}
	refused := facts(status.Status{})
	refused.ConfigErr = errors.New("x:1: unknown key")
	problem := running
	problem.Problem = "configuration refused: x"
	none := facts(status.Status{})
	none.Service.Reach = errors.New("no systemd")
	for _, c := range []struct {
		f    doctor.Facts
		want string // part of it
	}{
		{facts(running), "agent running, pid 7, version v0.0.0, since 2026-01-0"},
		{facts(running), "\nwarning agent.version: the running agent is version v0.0.0, this program is version v0.0.1\n  do: kill 7"},
		{facts(problem), "\nfailure agent.running: configuration refused: x; fix it, and have the agent read it again\n"},
		{refused, "\nfailure config: x:1: unknown key; edit the file\n"},
		{refused, "no agent is running; to start one: agent install\n"},
		{none, "no agent is running; to start one: agent run\n"},
	} {
		if text := strings.Join(shown(c.f, 1000, false), "\n"); !strings.Contains(text, c.want) {
			t.Errorf("no %q in:\n%s", c.want, text)
		}
	}
}

func TestReadable(t *testing.T) {
	when := uint64(time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local).Unix())
	text := func(s string) *string { return &s }
	for _, c := range []struct {
		s     signal.Signal
		width int
		want  string
	}{
		{signal.Signal{ToolName: text("Bash"), Payload: text(`{"spool_source":"claude","hook_event_name":"PostToolUse","tool_input":{"command":"go test\n ./..."}}`)},
			80, "Jan  2 03:04:05  claude Bash         go test ./..."},
		{signal.Signal{Payload: text(`{"hook_event_name":"Stop","stop_hook_active":false,"last_assistant_message":"All is done."}`)},
			46, "Jan  2 03:04:05  Stop                All is d…"},
		{signal.Signal{ToolName: text("me\x1b[31m"), Payload: text("no JSON")}, 80, `Jan  2 03:04:05  "me\x1b[31m"        no JSON`},
		{signal.Signal{ToolName: text("me")}, 80, "Jan  2 03:04:05  me"},
		{signal.Signal{ToolName: text("me"), Payload: text(`{"prompt":"","tool_input":{"x":1},"n":[1]}`)},
			80, `Jan  2 03:04:05  me                  {"prompt":"","tool_input":{"x":1},"n":[1]}`},
	} {
		c.s.RecordedAt = when
		if got := readable(c.s, c.width); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	readable(signal.Signal{RecordedAt: math.MaxUint64, Payload: text("[")}, 1)
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
