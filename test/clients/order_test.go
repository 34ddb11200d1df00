//go:build linux && clients

package clients

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"spoolagent/internal/agenttest"
)

// limited is a session that Claude Code ends in the middle of a turn: what its
// hooks have not done then would be lost.
var limited = session{task: "many", args: []string{"--max-turns", "1"}, want: []string{
	"UserPromptSubmit mark-many",
	"PostToolUse Bash mark-first",
	"SessionEnd",
}}

func claude(t *testing.T) *user {
	u := newUser(t, named("claude"))
	u.Do(u.Agent("hooks", "install", u.client.name))
	u.Run()
	return u
}

// faults is what is wrong with the signals of a session.
func (u *user) faults(s session) string {
	u.session(s)
	lines, err := u.drain(false)
	if err != nil {
		return err.Error()
	}
	return s.diff(lines)
}

// In twenty sessions every event comes, once and in order.
func TestOrder(t *testing.T) {
	u := claude(t)
	for i := range 20 {
		if diff := u.faults(limited); diff != "" {
			t.Errorf("session %d: signals (-want +got):\n%s", i, diff)
		}
	}
}

// What these tests are for they find: hooks that are missing, that run twice, or for
// which Claude Code does not wait. For hooks that only take their time it waits.
func TestFaults(t *testing.T) {
	type hook = object
	type group struct {
		Matcher string `json:"matcher,omitempty"`
		Hooks   []hook `json:"hooks"`
	}
	slow := func(events map[string][]group, async bool) {
		for event, groups := range events {
			if event != "SessionEnd" { // it has little time
				hook := groups[0].Hooks[0]
				hook["command"], hook["async"] = fmt.Sprintf("sleep 0.3; %s", hook["command"]), async
			}
		}
	}
	for _, tt := range []struct {
		name  string
		found bool
		spoil func(events map[string][]group)
	}{
		{"missing", true, func(events map[string][]group) { delete(events, "PostToolUse") }},
		{"twice", true, func(events map[string][]group) {
			for event, groups := range events {
				again := hook{"type": "command", "command": fmt.Sprintf(":; %s", groups[0].Hooks[0]["command"])}
				events[event] = append(groups, group{Hooks: []hook{again}})
			}
		}},
		{"slow", false, func(events map[string][]group) { slow(events, false) }},
		{"slow and asynchronous", true, func(events map[string][]group) { slow(events, true) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := claude(t)
			path := filepath.Join(u.Home, ".claude", "settings.json")
			var settings struct {
				Hooks map[string][]group `json:"hooks"`
			}
			if err := json.Unmarshal([]byte(agenttest.Read(t, path)), &settings); err != nil {
				t.Fatal(err)
			}
			tt.spoil(settings.Hooks)
			write(u.model, path, settings)
			diff := u.faults(limited)
			t.Log(diff)
			if found := diff != ""; found != tt.found {
				t.Errorf("found: %v, want %v", found, tt.found)
			}
		})
	}
}
