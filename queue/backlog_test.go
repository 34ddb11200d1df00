package queue

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"spoolagent/spoolfiles"
)

// place puts a drop into incoming, under a name and with an age of our choice.
func place(t testing.TB, sp *spoolfiles.Spool, name, content string, at time.Time) {
	t.Helper()
	path := filepath.Join(sp.Incoming.Path(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func signalAt(at int) string { return fmt.Sprintf(`{"recorded_at":%d,"payload":""}`, at) }

var longAgo = time.Unix(1_700_000_000, 0)

func TestOrderIsTimeThenName(t *testing.T) {
	sp := project(t)
	place(t, sp, "a.json", signalAt(5), longAgo.Add(2*time.Second))
	place(t, sp, "b.json", signalAt(4), longAgo.Add(1))
	place(t, sp, "z.json", signalAt(1), longAgo.Add(-time.Hour))
	place(t, sp, "y.json", signalAt(3), longAgo)
	place(t, sp, "x.json", signalAt(2), longAgo)
	place(t, sp, "c.json", signalAt(6), time.Now().Add(24*time.Hour))
	q := New(sp, options(0), nil)
	fold(t, q)
	wantQueue(t, q, 1, 2, 3, 4, 5, 6)
}
