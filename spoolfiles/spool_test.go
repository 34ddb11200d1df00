package spoolfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Look makes nothing, lists what is missing as empty, and can be completed.
func TestLook(t *testing.T) {
	p := t.TempDir()
	if _, err := OpenExisting(p); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("there is no spool, but: %v", err)
	}
	root := filepath.Join(p, DirName)
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	sp, err := OpenExisting(p)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	drops, derr := sp.CountDrops()
	rejects, rerr := sp.CountRejects()
	c, cerr := sp.ScanControl()
	if err := errors.Join(derr, rerr, cerr); err != nil || drops+rejects+len(c.Requests)+len(c.Replies) != 0 {
		t.Errorf("%d drops, %d rejects, %+v, %v", drops, rejects, c, err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("it has made %v (%v)", left, err)
	}
	if !sp.Stale() {
		t.Error("without its directories it cannot be used, and so is stale")
	}
	if err := sp.Complete(); err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Drop([]byte("{}")); err != nil {
		t.Error(err)
	}
	if n, err := sp.CountDrops(); n != 1 || err != nil {
		t.Errorf("%d drops, %v", n, err)
	}
	if sp.Stale() {
		t.Error("it is complete, but stale")
	}
}
