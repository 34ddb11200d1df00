package queue

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spoolagent/spoolfiles"
)

func request(t testing.TB, sp *spoolfiles.Spool, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(sp.Control.Path(), name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func controls(t testing.TB, sp *spoolfiles.Spool) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(sp.Control.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantControls(t testing.TB, sp *spoolfiles.Spool, want ...string) {
	t.Helper()
	if got := controls(t, sp); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("control has %q, want %q", got, want)
	}
}

func reply(t testing.TB, sp *spoolfiles.Spool, id string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(sp.Control.Path(), id+spoolfiles.ReplySuffix))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnswerHasWhatWasDroppedBefore(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	drop(t, sp, 1, "x")
	fold(t, q)
	drop(t, sp, 2, "x") // not folded yet
	request(t, sp, "id-1.drain")
	n, res, err := q.Answer(context.Background(), "id-1")
	if n != 2 || res.Folded != 1 || err != nil {
		t.Fatal(n, res, err)
	}
	if got := reply(t, sp, "id-1"); strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, `{"recorded_at":1,`) {
		t.Errorf("%q", got)
	}
	wantControls(t, sp, "id-1.signals")
	if got := readQueue(t, sp); got != "" {
		t.Errorf("the queue has %q", got)
	}
	if l := closes(t, q); l.Drained != 2 {
		t.Errorf("%+v", l)
	}
}

func TestAnswerFromNothing(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	request(t, sp, "id.drain")
	if n, _, err := q.Answer(context.Background(), "id"); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if got := reply(t, sp, "id"); got != "" {
		t.Errorf("%q", got)
	}
}

func TestWithdrawnRequestTakesNothing(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	drop(t, sp, 1, "x")
	if n, _, err := q.Answer(context.Background(), "id"); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	wantControls(t, sp)
	wantQueue(t, q, 1)
	if l := closes(t, q); l.Drained != 0 {
		t.Errorf("%+v", l)
	}
}

func TestIDUsedAlready(t *testing.T) {
	for _, suffix := range []string{".signals", ".returning"} {
		sp := project(t)
		q := New(sp, options(100), nil)
		drop(t, sp, 1, "x")
		request(t, sp, "id.drain")
		request(t, sp, "id"+suffix)
		// It was answered before; only the request was left.
		if n, _, err := q.Answer(context.Background(), "id"); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		wantControls(t, sp, "id"+suffix)
		wantQueue(t, q, 1)
		if err := q.Refuse("id", errors.New("because\nof \x1b[31mthis")); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(sp.Control.Path(), "id.error"))
		if err != nil || string(data) != `"because; of \x1b[31mthis"`+"\n" {
			t.Errorf("%q, %v", data, err)
		}
		wantControls(t, sp, "id.error", "id"+suffix)
		if _, err := q.Sweep(context.Background(), time.Now().Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		wantControls(t, sp)
		sp.Close()
	}
}

func TestInvalidIDs(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	for _, id := range []string{"", "..", "a/b", strings.Repeat("x", 65), "a b", "\xff"} {
		if _, _, err := q.Answer(context.Background(), id); err == nil {
			t.Errorf("Answer(%q): %v", id, err)
		}
		if _, err := q.Return(context.Background(), id); err == nil {
			t.Errorf("GiveBack(%q) is fine", id)
		}
	}
}

func TestMisnamedRequestIsRejected(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	request(t, sp, "what is this?.drain")
	request(t, sp, strings.Repeat("x", 65)+".drain")
	if err := os.MkdirAll(filepath.Join(sp.Control.Path(), "dir.drain", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(sp.Control.Path(), "dir.signals"), 0o700); err != nil {
		t.Fatal(err)
	}
	request(t, sp, "good.drain")
	request(t, sp, "README")
	res, err := q.Sweep(context.Background(), time.Now())
	if err != nil || len(res.Rejects) != 4 {
		t.Errorf("%+v, %v", res, err)
	}
	wantControls(t, sp, "README", "good.drain")
	closes(t, q)
}

func TestGiveBackGoesAhead(t *testing.T) {
	for cap, want := range map[int][]uint64{0: {1, 2, 3, 4}, 4: {1, 2, 3, 4}, 3: {2, 3, 4}, 2: {3, 4}, 1: {4}} {
		sp := project(t)
		q := New(sp, options(cap), nil)
		drop(t, sp, 1, "x")
		drop(t, sp, 2, "x")
		fold(t, New(sp, options(0), nil))
		id := spoolfiles.NewID()
		_, err := New(sp, options(0), nil).Take(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		drop(t, sp, 3, "x")
		drop(t, sp, 4, "x")
		fold(t, New(sp, options(0), nil))
		if n, err := q.Return(context.Background(), id); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		wantQueue(t, q, want...)
		if l := closes(t, q); l.Returned != 2 || l.Evicted != int64(4-len(want)) {
			t.Errorf("%+v", l)
		}
		if n, err := q.Return(context.Background(), id); n != 0 || err != nil {
			t.Error("given back twice:", n, err)
		}
		sp.Close()
	}
}

func TestSweepAtTTL(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	drop(t, sp, 1, "x")
	id := spoolfiles.NewID()
	_, err := q.Take(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	info, err := sp.Control.Lstat(id + ".signals")
	if err != nil {
		t.Fatal(err)
	}
	due := time.Unix(0, info.MTime).Add(q.opt.ReplyTTL)
	res, err := q.Sweep(context.Background(), due.Add(-1))
	if err != nil || res.Returned != 0 || !res.Due.Equal(due) {
		t.Errorf("before: %+v, %v", res, err)
	}
	res, err = q.Sweep(context.Background(), due)
	if err != nil || res.Returned != 1 || !res.Due.IsZero() {
		t.Errorf("at it: %+v, %v", res, err)
	}
	wantQueue(t, q, 1)
	wantControls(t, sp)
	closes(t, q)
}

func TestClaimedReplyDoesNotReturn(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	drop(t, sp, 1, "x")
	take(t, q)
	if res, err := q.Sweep(context.Background(), time.Now().Add(time.Hour)); res.Returned != 0 || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
	wantQueue(t, q)
}

func TestReturnThatACrashHasLeft(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	drop(t, sp, 1, "x")
	id := spoolfiles.NewID()
	_, err := q.Take(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Control.Rename(id+".signals", sp.Control, id+".returning"); err != nil {
		t.Fatal(err)
	}
	if c, err := sp.ScanControl(); len(c.Returning) != 1 || err != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if res, err := q.Sweep(context.Background(), time.Now()); res.Returned != 1 || err != nil {
		t.Errorf("%+v, %v", res, err)
	}
	wantQueue(t, q, 1)
	wantControls(t, sp)
}

// A reply that a crash has left on its way may be older than what tmp keeps.
func TestSweepFinishesAnOldCrashFirst(t *testing.T) {
	s := newScene(t, 0)
	s.drop(2)
	s.doFold(s.queue())
	q := s.queue()
	if !cutShort(q, 60, func() { s.doTake(q) }) {
		t.Fatal("not cut")
	}
	r, cells := s.pending()
	if r == nil || r.Verb != drainVerb || r.Exact && !begun(cells) {
		t.Fatalf("cut elsewhere: %+v", r)
	}
	old := time.Now().Add(-2 * spoolfiles.TmpTTL)
	if err := os.Chtimes(filepath.Join(s.sp.Tmp.Path(), replyName(r.ID)), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := s.queue().Sweep(context.Background(), time.Now()); err != nil {
		t.Fatal(err)
	}
	s.recoverAll()
}

func TestHostileReplies(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	outside := filepath.Join(sp.Project, "outside")
	if err := os.WriteFile(outside, []byte(signalLine("secret")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(sp.Control.Path(), "link.signals")); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(sp.Control.Path(), "garbage.signals")
	if err := os.WriteFile(garbage, []byte("x\n\xff\n"+signalLine("good")+"\n{"), 0o600); err != nil {
		t.Fatal(err)
	}
	sparse := filepath.Join(sp.Control.Path(), "sparse.signals")
	request(t, sp, "sparse.signals")
	if err := os.Truncate(sparse, 1<<40); err != nil {
		t.Fatal(err)
	}
	res, err := q.Sweep(context.Background(), time.Now().Add(time.Hour))
	if err != nil || res.Returned != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	signals, malformed := signalsOf(t, q)
	if len(signals) != 1 || *signals[0].ToolName != "good" || len(malformed) != 0 {
		t.Errorf("%+v, %v", signals, malformed)
	}
	wantControls(t, sp)
	// The three lines.
	if l := closes(t, q); l.Rejected != 3 || l.Returned != 1 {
		t.Errorf("%+v", l)
	}
	for name, content := range rejected(t, sp) {
		if strings.Contains(content, "secret") {
			t.Errorf("%s has %q", name, content)
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != signalLine("secret")+"\n" {
		t.Errorf("outside: %q, %v", data, err)
	}
}
