package configs

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClaudeSettings(t *testing.T) {
	var got struct {
		Hooks map[string][]struct {
			Matcher *string
			Hooks   []struct {
				Type    string
				Command string
				Timeout int
				Async   bool
			}
		}
	}
	if err := json.Unmarshal([]byte(ClaudeSettings()), &got); err != nil {
		t.Fatal(err)
	}
	events := slices.Sorted(maps.Keys(got.Hooks))
	if diff := cmp.Diff([]string{"PostToolUse", "PreCompact", "SessionEnd", "Stop"}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for event, groups := range got.Hooks {
		if len(groups) != 1 || len(groups[0].Hooks) != 1 || groups[0].Matcher != nil {
			t.Errorf("%s: want one hook, for whatever matches", event)
			continue
		}
		h := groups[0].Hooks[0]
		if h.Type != "command" || h.Command != `sh "$HOME/.local/share/spool-agent/hook.sh"` {
			t.Errorf("%s: %s %s", event, h.Type, h.Command)
		}
		// All SessionEnd hooks together have 1.5 s.
		if h.Timeout < 1 || event == "SessionEnd" && h.Timeout > 1 {
			t.Errorf("%s: timeout %d s", event, h.Timeout)
		}
		if h.Async {
			t.Errorf("%s is asynchronous: its drop may come after the next drain", event)
		}
	}
}
