package queue

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A reboot may leave drops in work that no transaction has. They are folded
// again, and nothing of them is in rejected.
func TestRebootFoldsWhatIsInWork(t *testing.T) {
	sp := project(t)
	drop(t, sp, 1, "x")
	q := New(sp, options(0), nil)
	fold(t, q)
	last, err := q.newest()
	must(t, err)
	last.Boot = "another"
	header, err := last.encode()
	must(t, err)
	f, err := q.openRecord(last.Seq)
	must(t, err)
	_, err = f.WriteAt(header, 0)
	must(t, err)
	must(t, f.Close())
	drop(t, sp, 2, "x")
	drops, err := sp.ListDrops()
	must(t, err)
	name := drops[0].Name
	must(t, os.Rename(filepath.Join(sp.Incoming.Path(), name), filepath.Join(sp.Work.Path(), name)))
	fold(t, q)
	wantQueue(t, q, 1, 2)
	if files := rejected(t, sp); len(files) > 0 {
		t.Errorf("rejected: %v", files)
	}
	closes(t, q)
}

// Zeros, which a file system leaves in place of what was not written, go with
// the next fold.
func TestZerosGo(t *testing.T) {
	sp := project(t)
	writeQueue(t, sp, signalLine("a")+"\n"+strings.Repeat("\x00", 700))
	place(t, sp, "a.json", signalAt(2), longAgo)
	q := New(sp, options(0), nil)
	if res := fold(t, q); res.Rejected != 1 {
		t.Errorf("%+v", res)
	}
	wantQueue(t, q, 7, 2)
	text, err := os.ReadFile(queuePath(sp))
	if err != nil || strings.Contains(string(text), "\x00") {
		t.Errorf("the queue has %q, %v", text, err)
	}
	closes(t, q)
}
