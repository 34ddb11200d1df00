package queue

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/spoolfiles"
)

// While a spool is open, its project is moved, and another one takes its place: the
// lock that is taken by path is not the one of the queue that was opened.
func TestMovedProjectIsNotChangedWithoutItsLock(t *testing.T) {
	base := t.TempDir()
	here, away := filepath.Join(base, "here"), filepath.Join(base, "away")
	must(t, os.Mkdir(here, 0o700))
	sp, err := spoolfiles.Create(here)
	must(t, err)
	defer sp.Close()
	q := New(sp, options(0), nil)
	drop(t, sp, 1, "one")
	_, err = q.Take(context.Background(), "x")
	must(t, err)

	must(t, os.Rename(here, away))
	must(t, os.Mkdir(here, 0o700))
	other, err := spoolfiles.Create(here)
	must(t, err)
	defer other.Close()
	must(t, os.WriteFile(queuePath(other), nil, 0o600))
	lock := flock.New(filepath.Join(away, spoolfiles.DirName, FileName), flock.SetFlag(os.O_RDWR))
	must(t, lock.Lock())
	defer lock.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := q.Return(ctx, "x"); err == nil {
		t.Error("changed")
	}
}

// Other names of the records, as "cp -al" makes them, hide no account.
func TestLinkedRecords(t *testing.T) {
	sp := project(t)
	q := New(sp, options(0), nil)
	for i := range uint64(2) {
		drop(t, sp, i, "x")
		fold(t, q)
	}
	for seq := range uint64(2) {
		name := recordName(seq)
		must(t, os.Link(filepath.Join(sp.Root.Path(), name), filepath.Join(sp.Project, name)))
	}
	drop(t, sp, 3, "x")
	q = New(sp, options(0), nil)
	fold(t, q)
	if l := closes(t, q); l.Folded != 3 {
		t.Errorf("%+v", l)
	}
}
