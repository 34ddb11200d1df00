package queue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
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

func fold(t testing.TB, q *Queue) Result {
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
	err := q.Peek(context.Background(), func(s signal.Signal) error {
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
	id := spoolfiles.NewID()
	_, err := q.Take(context.Background(), id)
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
	l, err := q.Count(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if l.Folded+l.Returned+l.External != l.Queued+l.Drained+l.Evicted {
		t.Fatalf("the ledger does not close: %+v", l)
	}
	return l
}

// signalsOf returns the queue's signals by Peek, and the numbers of its
// malformed lines.
func signalsOf(t testing.TB, q *Queue) (signals []signal.Signal, malformed []int) {
	t.Helper()
	err := q.Peek(context.Background(), func(s signal.Signal) error {
		signals = append(signals, s)
		return nil
	}, func(line int, err error) { malformed = append(malformed, line) })
	if err != nil {
		t.Fatal(err)
	}
	return signals, malformed
}

func writeQueue(t testing.TB, sp *spoolfiles.Spool, text string) {
	t.Helper()
	if err := os.WriteFile(queuePath(sp), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rejected returns what is in rejected: contents by name, reasons among them.
func rejected(t testing.TB, sp *spoolfiles.Spool) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(sp.Rejected.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		content := "(" + info.Mode().Type().String() + ")"
		if info.Mode().IsRegular() && info.Size() < 1<<20 && info.Mode().Perm()&0o400 != 0 {
			data, err := os.ReadFile(filepath.Join(sp.Rejected.Path(), e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			content = string(data)
		}
		files[e.Name()] = content
	}
	return files
}

func wantQueue(t testing.TB, q *Queue, want ...uint64) {
	t.Helper()
	if got := peek(t, q); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the queue has %v, want %v:\n%s", got, want, readQueue(t, q.sp))
	}
}

func TestFoldMakesTheQueue(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	drop(t, sp, 1, "Bash")
	if res := fold(t, q); res.Folded != 1 || res.Rejected != 0 {
		t.Errorf("%+v", res)
	}
	want := `{"recorded_at":1,"tool_name":"Bash","cwd":"/repo","payload":"payload of Bash"}` + "\n"
	if got := readQueue(t, sp); got != want {
		t.Errorf("the queue is %q, want %q", got, want)
	}
	signals, _ := signalsOf(t, q)
	if len(signals) != 1 || *signals[0].ToolName != "Bash" || *signals[0].Payload != "payload of Bash" {
		t.Errorf("%+v", signals)
	}
	if n, err := sp.CountDrops(); n != 0 || err != nil {
		t.Errorf("%d drops are left, %v", n, err)
	}
	if l := closes(t, q); l.Folded != 1 || l.LastFoldAt.IsZero() {
		t.Errorf("%+v", l)
	}
}

func TestFoldsKeepTheOrder(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	for i := range uint64(5) {
		drop(t, sp, i, "tool")
		fold(t, q)
	}
	wantQueue(t, q, 0, 1, 2, 3, 4)
}

func TestTakeEmptiesTheQueue(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	for i := range uint64(3) {
		drop(t, sp, i, "Edit")
	}
	fold(t, q)
	if lines := take(t, q); len(lines) != 3 || !strings.HasPrefix(lines[2], `{"recorded_at":2,`) {
		t.Errorf("%q", lines)
	}
	if got := readQueue(t, sp); got != "" {
		t.Errorf("after it, the queue has %q", got)
	}
	if l := closes(t, q); l.Drained != 3 {
		t.Errorf("%+v", l)
	}
}

func TestTakeFromNothing(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	if lines := take(t, q); len(lines) != 1 || lines[0] != "" {
		t.Errorf("%q", lines)
	}
	if got := readQueue(t, sp); got != "" { // and it exists
		t.Errorf("the queue has %q", got)
	}
}

func TestPeekAtNothing(t *testing.T) {
	sp := project(t)
	if signals, malformed := signalsOf(t, New(sp, options(100), nil)); len(signals)+len(malformed) > 0 {
		t.Error(signals, malformed)
	}
	if _, err := os.Stat(queuePath(sp)); !os.IsNotExist(err) {
		t.Errorf("a peek has made the queue: %v", err)
	}
}

func TestCapEvictsTheOldest(t *testing.T) {
	sp := project(t)
	q := New(sp, options(3), nil)
	evicted := 0
	for i := range uint64(5) {
		drop(t, sp, i, "Bash")
		evicted += fold(t, q).Evicted
	}
	wantQueue(t, q, 2, 3, 4)
	if l := closes(t, q); l.Folded != 5 || l.Evicted != 2 || evicted != 2 {
		t.Errorf("%+v, %d reported", l, evicted)
	}
}

func TestCapInOneFold(t *testing.T) {
	sp := project(t)
	q := New(sp, options(3), nil)
	for i := range uint64(8) {
		drop(t, sp, i, "Bash")
	}
	if res := fold(t, q); res.Folded != 8 || res.Evicted != 5 {
		t.Errorf("%+v", res)
	}
	wantQueue(t, q, 5, 6, 7)
	closes(t, q)
}

func TestNoCap(t *testing.T) {
	sp := project(t)
	q := New(sp, options(0), nil)
	var want []uint64
	for i := range uint64(150) {
		drop(t, sp, i, "Edit")
		want = append(want, i)
	}
	fold(t, q)
	wantQueue(t, q, want...)
}

func TestPeekPassesOverMalformedLines(t *testing.T) {
	sp := project(t)
	text := signalLine("a") + "\n{ broken\n\n" + signalLine("b") + "\n[1]"
	writeQueue(t, sp, text)
	signals, malformed := signalsOf(t, New(sp, options(100), nil))
	if len(signals) != 2 || *signals[0].ToolName != "a" || *signals[1].ToolName != "b" {
		t.Errorf("%+v", signals)
	}
	if fmt.Sprint(malformed) != "[2 5]" {
		t.Errorf("malformed lines %v", malformed)
	}
	if got := readQueue(t, sp); got != text {
		t.Errorf("the queue has become %q", got)
	}
}

func TestMalformedLinesDoNotCount(t *testing.T) {
	sp := project(t)
	text := ""
	for i := range 4 {
		text += fmt.Sprintf(`{"recorded_at":%d,"cwd":"/"}`, i) + "\n"
	}
	writeQueue(t, sp, text+"not json at all\n{ broken\n")
	q := New(sp, options(3), nil)
	drop(t, sp, 99, "fresh")
	if res := fold(t, q); res.Rejected != 2 || res.Evicted != 2 {
		t.Errorf("%+v", res)
	}
	wantQueue(t, q, 2, 3, 99)
	if l := closes(t, q); l.External != 4 || l.Evicted != 2 || l.Rejected != 2 || l.Folded != 1 {
		t.Errorf("%+v", l)
	}
	reasons, lines := 0, 0
	for name, content := range rejected(t, sp) {
		switch {
		case strings.HasSuffix(name, spoolfiles.ReasonSuffix):
			reasons++
			if !strings.HasPrefix(content, "line ") || strings.Count(content, "\n") != 1 {
				t.Errorf("reason %q", content)
			}
		case content == "not json at all" || content == "{ broken":
			lines++
		default:
			t.Errorf("%s has %q", name, content)
		}
	}
	if reasons != 2 || lines != 2 {
		t.Errorf("%d reasons, %d lines", reasons, lines)
	}
}

func TestTornLastLineSwallowsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		want     []uint64
		rejected int
	}{
		"well-formed":       {signalLine("a"), []uint64{7, 9}, 0},
		"malformed":         {signalLine("a") + "\n" + `{"recorded_at":8,"cw`, []uint64{7, 9}, 1},
		"malformed, alone":  {`{`, []uint64{9}, 1},
		"only a line feed":  {"\n", []uint64{9}, 0},
		"white space, torn": {signalLine("a") + "\n ", []uint64{7, 9}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			sp := project(t)
			q := New(sp, options(100), nil)
			writeQueue(t, sp, c.text)
			drop(t, sp, 9, "x")
			if res := fold(t, q); res.Rejected != c.rejected {
				t.Errorf("%+v", res)
			}
			wantQueue(t, q, c.want...)
			closes(t, q)
		})
	}
}

func TestRewriteIsCanonical(t *testing.T) {
	sp := project(t)
	writeQueue(t, sp, ` { "cwd" : "/\u00e9" , "recorded_at":1, "tool_name":null, "other":[1] }`+"\r\n\n"+
		`{"recorded_at":2,"cwd":"/b"}`+"\n"+`{"recorded_at":3,"cwd":"/c"}`)
	q := New(sp, options(3), nil)
	drop(t, sp, 4, "x")
	fold(t, q)
	drop(t, sp, 5, "x")
	fold(t, q)
	want := `{"recorded_at":3,"cwd":"/c"}` + "\n" +
		`{"recorded_at":4,"tool_name":"x","cwd":"/repo","payload":"payload of x"}` + "\n" +
		`{"recorded_at":5,"tool_name":"x","cwd":"/repo","payload":"payload of x"}` + "\n"
	if got := strings.TrimLeft(readQueue(t, sp), " \n"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	closes(t, q)

	writeQueue(t, sp, ` { "cwd" : "/\u00e9" , "recorded_at":1, "tool_name":null, "other":[1] }`+"\n")
	if got := take(t, q); fmt.Sprint(got) != `[{"recorded_at":1,"cwd":"/é"}]` {
		t.Errorf("a drain gives %q", got)
	}
}

// What others do between two folds is noticed, though the shape is remembered.
func TestOthersWorkIsNoticed(t *testing.T) {
	sp := project(t)
	q := New(sp, options(3), nil)
	drop(t, sp, 1, "x")
	drop(t, sp, 2, "x")
	fold(t, q)
	text := readQueue(t, sp)
	other := strings.Replace(text, "\n{", "\nx", 1) // the second line is none any more
	info, err := os.Stat(queuePath(sp))
	if err != nil {
		t.Fatal(err)
	}
	writeQueue(t, sp, other)
	if err := os.Chtimes(queuePath(sp), info.ModTime(), info.ModTime()); err != nil { // as if within one tick
		t.Fatal(err)
	}
	drop(t, sp, 3, "x")
	if res := fold(t, q); res.Rejected != 1 {
		t.Errorf("%+v", res)
	}
	drop(t, sp, 4, "x")
	fold(t, q)
	wantQueue(t, q, 1, 3, 4)
	writeQueue(t, sp, "")
	drop(t, sp, 5, "x")
	fold(t, q)
	wantQueue(t, q, 5)
	if l := closes(t, q); l.External != -1-3 {
		t.Errorf("%+v", l)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
