//go:build linux && clients

package clients

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spoolagent/internal/agenttest"
)

// What --then has run at the end of a turn sees all signals of the turn, that of
// the end among them, in order and each once. A hook beside ours would not: Claude
// Code runs all hooks of an event at once. The client prints nothing of it, does not
// mind its status, and has its settings back afterwards.
func TestThen(t *testing.T) {
	end := []string{"SessionEnd"}
	many := []string{
		"UserPromptSubmit mark-many",
		"PostToolUse Bash mark-first",
		"PostToolUse Bash mark-second",
		"PostToolUse Bash mark-third",
		"Stop mark-done",
	}
	for _, tt := range []struct {
		client string
		times  int
		task   string
		args   []string
		want   [][]string // the batches
	}{
		{"claude", 30, "many", nil, [][]string{many, end}},
		{"claude", 1, "/compact", []string{"--continue"}, [][]string{{"PreCompact"}, {"PostCompact mark-done", "SessionEnd"}}},
		{"codex", 3, "many", nil, [][]string{many, end}},
		{"gemini", 3, "fail", nil, [][]string{{"AfterTool run_shell_command mark-before", "SessionEnd"}}},
		{"gemini", 3, "text", nil, [][]string{{"AfterAgent mark-text"}, end}},
		{"qwen", 3, "text", nil, [][]string{{"UserPromptSubmit mark-text", "Stop mark-done"}}},
		{"copilot", 3, "text", nil, [][]string{{"UserPromptSubmit mark-text", "Stop"}, end}},
	} {
		t.Run(tt.client+" "+tt.task, func(t *testing.T) {
			u := newUser(t, named(tt.client))
			before := u.settings()
			taken := filepath.Join(u.Home, "taken")
			take := fmt.Sprintf(`%q drain -- sh -c 'cat && echo end' >>%q; echo '{"decision":"block","reason":"spool"}'; exit 2`, u.Agent().Path, taken)
			if tt.args != nil { // there must be something to continue
				u.session(session{task: "text"})
			}
			u.Do(u.Agent("hooks", "install", tt.client, "--then", take))
			if u.client.connect != nil {
				u.client.connect(u)
			}
			connected := u.settings()
			u.Run()
			for range tt.times {
				if got := u.session(session{task: tt.task, args: tt.args}); strings.Contains(got.out+got.errors, "spool") {
					t.Errorf("it printed, of ours: %s%s", got.out, got.errors)
				}
			}
			batches := strings.SplitAfter(agenttest.Read(t, taken), "end\n")
			perSession := len(tt.want)
			if rest := batches[len(batches)-1]; rest != "" || len(batches)-1 != tt.times*perSession {
				t.Errorf("%d batches, want %d of each of %d sessions; then %q", len(batches)-1, perSession, tt.times, rest)
			}
			for i := 0; i+perSession < len(batches); i += perSession {
				drained := strings.ReplaceAll(strings.Join(batches[i:i+perSession], ""), "end\n", "")
				if _, err := u.parse(drained, false); err != nil {
					t.Error(err)
				}
				var got [][]string
				for _, batch := range batches[i : i+perSession] {
					lines, _ := u.parse(strings.TrimSuffix(batch, "end\n"), false)
					got = append(got, lines)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("session %d: batches (-want +got):\n%s", i/perSession, diff)
				}
			}
			changed := !cmp.Equal(connected, u.settings()) // by the client
			u.Do(u.Agent("hooks", "uninstall", tt.client))
			if diff := cmp.Diff(before, u.settings()); diff != "" && !changed {
				t.Errorf("settings afterwards (-before +now):\n%s", diff)
			}
		})
	}
}
