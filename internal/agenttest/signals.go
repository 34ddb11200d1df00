//go:build unix

package agenttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// Each signal of a test has a name, which stands as <NAME> in its payload or
// somewhere in its event.

// Drop leaves a signal in a project, as a Go program does.
func Drop(t testing.TB, project, name string, more ...string) {
	t.Helper()
	text := "<" + name + ">" + strings.Join(more, "")
	if err := spoolfiles.Drop(project, signal.Signal{RecordedAt: 1, CWD: "/w", Payload: &text}.AppendLine(nil)); err != nil {
		t.Fatalf("dropping: %v", err)
	}
}

// Event is what a tool hands to its hook.
func Event(name string, more ...string) string {
	return fmt.Sprintf(`{"hook_event_name":"PostToolUse","session_id":"s","tool_name":"Bash","tool_input":{"command":"echo"},"tool_response":{"stdout":"%s"},"cwd":"/w","id":"<%s>"}`,
		strings.Join(more, ""), name)
}

// Names finds the signals in what a program printed, also if it was cut off.
func Names(text string) (names []string) {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "<")
		if !found {
			return names
		}
		name, after, closed := strings.Cut(after, ">")
		if !closed {
			return names
		}
		names, rest = append(names, name), after
	}
}

// WholeNames finds the signals in lines of a queue, of which each must be whole.
// Blank lines are nothing (R28).
func WholeNames(lines string) (names []string, err error) {
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var signal struct{ Payload string }
		if jerr := json.Unmarshal([]byte(line), &signal); jerr != nil {
			err = errors.Join(err, fmt.Errorf("a line that is not whole: %w: %q", jerr, line))
			continue
		}
		names = append(names, Names(signal.Payload)...)
	}
	return names, err
}

// The strangers lock the queue as any shell script would, and know nothing else
// of ours: sh -c STRANGER sh QUEUE [NAME].
const (
	StrangerAppends = `flock "$1" sh -c 'printf "{\"recorded_at\":1,\"cwd\":\"/s\",\"payload\":\"<%s>\"}\n" "$2" >>"$1"' sh "$1" "$2"`
	StrangerDrains  = `flock "$1" sh -c 'cat "$1" && : >"$1"' sh "$1"`
)
