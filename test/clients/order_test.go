//go:build clients

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

// What these tests are for they find: with other hooks than "agent hooks install"
// makes, the signals of some session are wrong.
func TestFaults(t *testing.T) {
	type hook = object
	type group struct {
		Matcher string `json:"matcher,omitempty"`
		Hooks   []hook `json:"hooks"`
	}
	for name, spoil := range map[string]func(events map[string][]group){
		"missing": func(events map[string][]group) { delete(events, "PostToolUse") },
		"twice": func(events map[string][]group) {
			for event, groups := range events {
				again := hook{"type": "command", "command": fmt.Sprintf(":; %s", groups[0].Hooks[0]["command"])}
				events[event] = append(groups, group{Hooks: []hook{again}})
			}
		},
		"async": func(events map[string][]group) {
			for _, groups := range events {
				groups[0].Hooks[0]["async"] = true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := claude(t)
			path := filepath.Join(u.Home, ".claude", "settings.json")
			var settings struct {
				Hooks map[string][]group `json:"hooks"`
			}
			if err := json.Unmarshal([]byte(agenttest.Read(t, path)), &settings); err != nil {
				t.Fatal(err)
			}
			spoil(settings.Hooks)
			write(u.model, path, settings)
			for i := range 60 {
				if diff := u.faults(limited); diff != "" {
					t.Logf("found in session %d:\n%s", i, diff)
					return
				}
			}
			t.Error("no fault was found")
		})
	}
}
