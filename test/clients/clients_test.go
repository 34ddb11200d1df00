//go:build linux && clients

package clients

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spoolagent/internal/agenttest"
)

// signal is one of those that are drained.
type signal struct {
	Tool    string `json:"tool_name"`
	CWD     string
	Payload string
}

// event is what all payloads have in common, under several names.
type event struct {
	Source     string `json:"spool_source"`
	Name       string `json:"hook_event_name"`
	Session    string `json:"session_id"`
	SessionID  string // OpenCode
	Transcript string `json:"transcript_path"`
}

// drain takes the signals of the project, and parses them.
func (u *user) drain(helped bool) (lines []string, err error) {
	u.Helper()
	return u.parse(u.Do(u.Agent("drain", "--project", u.project)), helped)
}

// parse returns each signal that was drained as one line: the name of the event,
// the tool and the mark. What is not as it should be is an error.
func (u *user) parse(drained string, helped bool) (lines []string, err error) {
	sessions := map[string]bool{}
	for line := range strings.Lines(drained) {
		var s signal
		var e event
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(s.Payload), &e); err != nil {
			return nil, fmt.Errorf("%w: %s", err, s.Payload)
		}
		text := strings.Join(strings.Fields(e.Name+" "+s.Tool+" "+marks.FindString(s.Payload)), " ")
		lines = append(lines, text)
		sessions[e.Session+e.SessionID] = true
		told := e.Transcript != ""
		switch {
		case s.CWD != u.project:
			return lines, fmt.Errorf("%s: cwd is %s", text, s.CWD)
		case e.Source != u.client.name:
			return lines, fmt.Errorf("%s: source is %s", text, e.Source)
		case e.Session+e.SessionID == "":
			return lines, fmt.Errorf("%s: no session", text)
		case told != (u.client.transcripts == nil || slices.Contains(u.client.transcripts, e.Name)):
			return lines, fmt.Errorf("%s: transcript is %q", text, e.Transcript)
		}
		if _, err := os.Stat(e.Transcript); told && err != nil {
			return lines, fmt.Errorf("%s: %w", text, err)
		}
	}
	if len(sessions) > 1 && !(helped && u.client.helperSession) {
		return lines, fmt.Errorf("%d sessions", len(sessions))
	}
	// The events of calls that were made at once come in any order.
	for from := range lines {
		to := from
		for to < len(lines) && strings.Contains(lines[to], " mark-par-") {
			to++
		}
		slices.Sort(lines[from:to])
	}
	return lines, nil
}

// TestClients has each client do its sessions, with hooks and without. The signals
// must be those of the session, each once and in order. The client must print the
// same and end in the same way, and its settings must be in the end what they were.
func TestClients(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			hooked, plain := newUser(t, c), newUser(t, c)
			t.Logf("version %s", strings.TrimSpace(plain.Do(plain.run("--version"))))
			before := hooked.settings()
			hooked.Do(hooked.Agent("hooks", "install", c.name))
			connected := hooked.settings()
			if c.connect != nil {
				c.connect(hooked)
			}
			if off := hooked.off(); off != "" {
				t.Errorf("the hooks are said to be off: %s", off)
			}
			hooked.Run()
			var with, without time.Duration
			signals := 0
			for _, s := range sessions[c.name] {
				t.Run(s.task, func(t *testing.T) {
					other := make(chan ended)
					go func() { other <- plain.session(s) }()
					got := hooked.session(s)
					want := <-other
					t.Logf("status %d, after %v; without hooks %v", got.status, got.took, want.took)
					with, without = with+got.took, without+want.took
					if got.status != want.status {
						t.Errorf("it ended with %d, without hooks with %d\n%.2000s\n%.2000s", got.status, want.status, got.errors, want.errors)
					}
					// An interrupted client prints what it gets to.
					if diff := cmp.Diff(want.out, got.out); diff != "" && s.task != "stop" {
						t.Errorf("it printed (-without +with hooks):\n%s", diff)
					}
					if i := strings.Index(got.errors, "spool"); i >= 0 {
						t.Errorf("it printed, of ours: %.500s", got.errors[max(0, i-100):])
					}
					lines, err := hooked.drain(s.task == "hand")
					if err != nil {
						t.Error(err)
					}
					signals += len(lines)
					if diff := s.diff(lines); diff != "" {
						t.Errorf("signals (-want +got):\n%s", diff)
					}
				})
			}
			t.Logf("its sessions took %v with %d signals, and %v without hooks", with, signals, without)
			for _, u := range []*user{hooked, plain} {
				if c.rewrite != nil {
					u.Do(u.run(c.rewrite...))
				}
			}
			changed := !cmp.Equal(connected, hooked.settings())
			if !changed && c.rewrite != nil {
				t.Error("the client did not rewrite its settings")
			}
			hooked.Do(hooked.Agent("hooks", "uninstall", c.name))
			if diff := cmp.Diff(plain.settings(), hooked.settings()); diff != "" {
				t.Errorf("settings afterwards (-without +with hooks):\n%s", diff)
			}
			if diff := cmp.Diff(before, hooked.settings()); !changed && diff != "" {
				t.Errorf("settings afterwards (-before +now):\n%s", diff)
			}
		})
	}
}

// diff is how the signals differ from what they must be.
func (s session) diff(lines []string) string {
	want := slices.Clone(s.want)
	if i := slices.Index(want, s.notAwaited); i >= 0 && !slices.Contains(lines, s.notAwaited) {
		want = slices.Delete(want, i, i+1)
	}
	if s.anyOrder {
		slices.Sort(want)
		slices.Sort(lines)
	}
	return cmp.Diff(want, lines)
}

// settings are the client's settings files, by their names.
func (u *user) settings() map[string]string {
	u.Helper()
	files := map[string]string{}
	for _, pattern := range u.client.settings {
		paths, err := filepath.Glob(filepath.Join(u.Home, pattern))
		if err != nil {
			u.Fatal(err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
				continue
			}
			name, text := strings.TrimPrefix(path, u.Home), agenttest.Read(u, path)
			files[name] = strings.NewReplacer(u.Home, "HOME", u.model.URL, "MODEL").Replace(text)
		}
	}
	return files
}
