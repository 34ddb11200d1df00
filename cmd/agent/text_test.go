package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spoolagent/agent"
	"spoolagent/agent/status"
)

func TestShortPath(t *testing.T) {
	for _, c := range []struct {
		path  string
		width int
		want  string
	}{
		{"/home/u/p", 9, "/home/u/p"},
		{"~/code/company/department/spool-agent", 22, "~/code/co…/spool-agent"},
		{"/very-long-name-without-an-end", 11, "/very…n-end"},
		{"/äöü/äöü/äöü", 8, "/äö…/äöü"},
		{"/a/b/c", 2, "/a"},
		{"/a/b/c", 0, ""},
	} {
		if got := shortPath(c.path, c.width); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.path, c.width, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		path, width := rapid.String().Draw(t, "path"), rapid.IntRange(0, 40).Draw(t, "width")
		if n := utf8.RuneCountInString(shortPath(path, width)); n > width {
			t.Fatalf("%d characters, want at most %d", n, width)
		}
	})
}

func TestWrapLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zä]{1,9}`), 1, 30).Draw(t, "words")
		width := rapid.IntRange(14, 50).Draw(t, "width")
		lines := wrap(strings.Join(words, " "), width, "    ")
		for i, line := range lines {
			if utf8.RuneCountInString(line) > width {
				t.Fatalf("longer than %d: %q", width, line)
			}
			if i > 0 && !strings.HasPrefix(line, "    ") {
				t.Fatalf("not indented: %q", line)
			}
		}
		if diff := cmp.Diff(words, strings.Fields(strings.Join(lines, " "))); diff != "" {
			t.Fatal(diff)
		}
	})
	if got := wrap(strings.Repeat("x", 50), 20, "  "); len(got) != 1 {
		t.Errorf("a word was broken: %q", got)
	}
}

// However small the terminal, a report fits, and what is told to be left out
// is what is left out.
func TestAReportFitsItsTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &statusReport{}
		gone, well := rapid.IntRange(0, 30).Draw(t, "gone"), rapid.IntRange(0, 30).Draw(t, "well")
		for i := range well {
			r.Projects = append(r.Projects, status.ProjectStatus{Path: fmt.Sprintf("/a%02d", i), State: agent.StateServing})
		}
		for i := range gone {
			r.Projects = append(r.Projects, status.ProjectStatus{Path: fmt.Sprintf("/z%02d", i), State: agent.StateMissing,
				Error: fmt.Sprintf("why %d", i%5)})
		}
		height := rapid.IntRange(0, 50).Draw(t, "height")
		lines := viewOf(r, 80, false, time.Now()).cut(height)
		if len(lines) > height {
			t.Fatalf("%d lines, want at most %d", len(lines), height)
		}
		rows, left := 0, 0
		for _, line := range lines {
			if len(line) > 3 && line[0] == '/' && strings.Contains(line, "never") {
				rows++
			}
			fmt.Sscanf(line, "... and %d projects more", &left)
		}
		if left > 0 && rows+left != gone+well {
			t.Fatalf("%d rows and %d more, of %d:\n%s", rows, left, gone+well, strings.Join(lines, "\n"))
		}
		if left > 0 && gone > 0 && rows > 0 && !strings.Contains(strings.Join(lines, "\n"), "/z00") {
			t.Fatalf("what is wrong does not come first:\n%s", strings.Join(lines, "\n"))
		}
	})
}

// Thousands with the same note have one.
func TestNotesAreBounded(t *testing.T) {
	r := &statusReport{}
	for i := range 5000 {
		path := fmt.Sprintf("/code/p%04d", i)
		r.Projects = append(r.Projects, status.ProjectStatus{Path: path, State: agent.StatePolling, Error: "polled, for the limit is reached"},
			status.ProjectStatus{Path: path + "x", State: agent.StateError, Error: fmt.Sprintf("open %sx/.spool: reason %d", path, i%100)})
	}
	v := viewOf(r, 80, false, time.Now())
	if len(v.notes) > 150 {
		t.Errorf("%d lines", len(v.notes))
	}
	text := strings.Join(v.notes, "\n")
	for _, want := range []string{"error: open DIR/.spool: reason 0\n", "  and 45 more like this\n", "... and 89 more notes, which --json has"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
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
		{serviceFacts{Installed: true, Error: "no bus\x1b"}, `installed, the rest is unknown: no bus\x1b`},
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
		{statusReport{Status: stopped}, "start one with 'agent run'"},
		{statusReport{Status: stopped, Service: &serviceFacts{}}, "'agent install' has one run from now on"},
		{statusReport{Status: stopped, Service: &serviceFacts{Installed: true}}, "'agent start' starts the service"},
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
