package queue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spoolagent/spoolfiles"
)

// project makes a fresh project with a spool.
func project(t testing.TB) *spoolfiles.Spool {
	t.Helper()
	sp, err := spoolfiles.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Close() })
	return sp
}

func options(cap int) Options {
	o := DefaultOptions()
	o.Cap = cap
	o.Fsync = false
	return o
}

func drop(t testing.TB, sp *spoolfiles.Spool, at uint64, tool string) {
	t.Helper()
	data := fmt.Sprintf(`{"recorded_at":%d,"tool_name":%q,"cwd":"/repo","payload":"payload of %s"}`, at, tool, tool)
	if _, err := sp.Drop([]byte(data)); err != nil {
		t.Fatal(err)
	}
}

func fold(t testing.TB, q *Queue) FoldResult {
	t.Helper()
	res, err := q.Fold(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// peek returns the recorded_at of all signals in the queue.
func peek(t testing.TB, q *Queue) (at []uint64) {
	t.Helper()
	err := q.Peek(context.Background(), func(s spoolfiles.Signal) error {
		at = append(at, s.RecordedAt)
		return nil
	}, func(int, error) {})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func queuePath(sp *spoolfiles.Spool) string {
	return filepath.Join(sp.Project, spoolfiles.DirName, FileName)
}

func readQueue(t testing.TB, sp *spoolfiles.Spool) string {
	t.Helper()
	data, err := os.ReadFile(queuePath(sp))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// take drains without an agent and acknowledges.
func take(t testing.TB, q *Queue) (lines []string) {
	t.Helper()
	id, err := q.Take(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	name := id + spoolfiles.ReplySuffix
	data, _, err := q.sp.Control.ReadFile(name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.sp.Control.Remove(name); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// closes checks that the ledger closes.
func closes(t testing.TB, q *Queue) Ledger {
	t.Helper()
	s, err := q.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	l := s.Ledger
	if l.Folded+l.Returned+l.External != int64(s.Queued)+l.Drained+l.Evicted {
		t.Fatalf("the ledger does not close: %+v with %d queued", l, s.Queued)
	}
	return l
}

func TestSmoke(t *testing.T) {
	sp := project(t)
	q := New(sp, options(3))
	for i := range uint64(5) {
		drop(t, sp, i, "Bash")
		fold(t, q)
	}
	if got := fmt.Sprint(peek(t, q)); got != "[2 3 4]" {
		t.Fatal(got, readQueue(t, sp))
	}
	t.Logf("%+v", closes(t, q))
	t.Log(strings.Join(take(t, q), "\n"))
	if got := readQueue(t, sp); got != "" {
		t.Fatalf("%q", got)
	}
	t.Logf("%+v", closes(t, q))
	drop(t, sp, 9, "x")
	fold(t, q)
	id, err := q.Take(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	drop(t, sp, 10, "x")
	fold(t, q)
	n, err := q.GiveBack(context.Background(), id)
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := fmt.Sprint(peek(t, q)); got != "[9 10]" {
		t.Fatal(got, readQueue(t, sp))
	}
	t.Logf("%+v", closes(t, q))
}

// A drop may have the longest name there is, also in a record that is found
// after a crash.
func TestRecordTakesLongestName(t *testing.T) {
	m := move{op: opRemove, dir: "incoming", name: strings.Repeat("n", 250) + ".json"}
	line := strings.TrimSuffix(string(m.append(nil)), "\n")
	got, err := parseMove(opRemove, strings.TrimPrefix(line, "remove "))
	if err != nil || got.name != m.name {
		t.Fatalf("parseMove(%q) = %+v, %v", line, got, err)
	}
}
