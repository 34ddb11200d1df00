package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"spoolagent/spoolfiles"
)

// A producer that cannot rename may touch its drop after it has been read: it
// is the same drop, and is folded once.
func TestDropTouchedWhileFolded(t *testing.T) {
	sp := project(t)
	q := New(sp, options(0), nil)
	drop(t, sp, 1, "Bash")
	names, err := filepath.Glob(filepath.Join(sp.Incoming.Path(), "*.json"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	q.step = func(what string, n int64) int64 {
		if what == "take" {
			f, err := os.OpenFile(names[0], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(f)
			f.Close()
		}
		return n
	}
	fold(t, q)
	q.step = nil
	fold(t, q)
	if got := fmt.Sprint(peek(t, q)); got != "[1]" {
		t.Errorf("the queue has %s", got)
	}
	if l := closes(t, q); l.Folded != 1 {
		t.Errorf("%+v", l)
	}
}

// A directory that comes where a drop is about to go: the drop is rejected under
// another name.
func TestDirectoryInTheWay(t *testing.T) {
	sp := project(t)
	q := New(sp, options(0), nil)
	place(t, sp, "bad.json", "{", longAgo)
	q.step = func(what string, n int64) int64 {
		if what == "take" {
			if err := os.MkdirAll(filepath.Join(sp.Rejected.Path(), "bad.json", "below"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	fold(t, q)
	if n, err := sp.CountRejects(); n != 2 || err != nil {
		t.Errorf("%d rejects, %v", n, err)
	}
}

// What somebody has put into rejected keeps no drain from succeeding.
func TestDrainBesideOddRejects(t *testing.T) {
	sp := project(t)
	q := New(sp, options(0), nil)
	for i := range spoolfiles.MaxRejects + 5 {
		name := filepath.Join(sp.Rejected.Path(), fmt.Sprintf("r%d", i))
		for _, name := range []string{name, name + spoolfiles.ReasonSuffix} {
			if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(sp.Rejected.Path(), "d.reason", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(queuePath(sp), []byte(signalLine("good")+"\nbroken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := take(t, q); len(got) != 1 {
		t.Errorf("drained %q", got)
	}
	if n, err := sp.CountRejects(); n > spoolfiles.MaxRejects || err != nil {
		t.Errorf("%d rejects, %v", n, err)
	}
}

// What is no reply keeps no drain from succeeding, and goes to rejected.
func TestDrainBesideALinkInControl(t *testing.T) {
	sp := project(t)
	q := New(sp, options(0), nil)
	if err := os.Symlink("/etc/passwd", filepath.Join(sp.Control.Path(), "x"+spoolfiles.ReplySuffix)); err != nil {
		t.Fatal(err)
	}
	place(t, sp, "good.json", signalAt(1), longAgo)
	if got := take(t, q); len(got) != 1 {
		t.Errorf("drained %q", got)
	}
	if n, err := sp.CountRejects(); n != 1 || err != nil {
		t.Errorf("%d rejects, %v", n, err)
	}
	closes(t, q)
}

// A drain for which there is no time left is an error, not an empty success.
func TestTakeWithoutTime(t *testing.T) {
	sp := project(t)
	q := New(sp, options(0), nil)
	place(t, sp, "good.json", signalAt(1), longAgo)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Take(ctx, "id"); !errors.Is(err, context.Canceled) {
		t.Errorf("the context has ended, but: %v", err)
	}
	if n, err := sp.CountDrops(); n != 1 || err != nil {
		t.Errorf("%d drops are left, %v", n, err)
	}
}
