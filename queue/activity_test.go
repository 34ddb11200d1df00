package queue

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"spoolagent/internal/agenttest"
)

func TestActivity(t *testing.T) {
	sp := project(t)
	q := New(sp, options(2), nil)
	if a := q.Activity(time.Now()); len(a) > 0 {
		t.Errorf("before the first fold: %v", a)
	}
	for _, name := range []string{"1.json", "2.claude.json", "3.claude.json", "4.a b.json"} {
		agenttest.Must(t, os.WriteFile(filepath.Join(sp.Incoming.Path(), name), []byte(`{"tool_name":"x"}`), 0o600))
	}
	fold(t, q)
	now := time.Now()
	a := q.Activity(now)
	if len(a) != 2 || a["claude"].Hours[0] != 2 || a[""].Hours[0] != 2 || now.Sub(a["claude"].Last) > time.Minute {
		t.Errorf("%v", a)
	}
	drop(t, sp, 1, "Bash")
	fold(t, q)
	if a := q.Activity(now.Add(2 * time.Hour)); a[""].Hours[2] != 3 || a["claude"].Hours[2] != 2 || a["claude"].Hours[0] != 0 {
		t.Errorf("two hours later: %v", a)
	}
	if a := q.Activity(now.Add(30 * time.Hour)); a[""].Hours != [24]int{} || a[""].Last.IsZero() {
		t.Errorf("a day later: %v", a)
	}
	for _, garbled := range []string{"", "null", "[]", `{"claude":7}`, "{\"a\":{\"last\":\"2999-01-01T00:00:00Z\",\"hours\":[1]}}"} {
		agenttest.Must(t, os.WriteFile(filepath.Join(sp.Root.Path(), activityName), []byte(garbled), 0o600))
		if s := q.Activity(now)["a"]; s.Last.After(now) {
			t.Errorf("from the future: %v", s)
		}
		drop(t, sp, 1, "Bash")
		fold(t, q)
		if a := q.Activity(time.Now()); a[""].Hours[0] != 1 {
			t.Errorf("after %q: %v", garbled, a)
		}
	}
}

// Sources of which nothing has come for a day make room for others.
func TestActivityOfManySources(t *testing.T) {
	q := New(project(t), options(0), nil)
	long := time.Now().Add(-48 * time.Hour)
	for i := range maxSources + 8 {
		agenttest.Must(t, q.noteActivity(map[string]int{fmt.Sprint("source-", i): 1}, long))
	}
	agenttest.Must(t, q.noteActivity(map[string]int{"claude": 5}, time.Now()))
	if a := q.Activity(time.Now()); a["claude"].Hours[0] != 5 {
		t.Errorf("%v", a)
	}
}
