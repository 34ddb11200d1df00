//go:build root

package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"spoolagent/spoolfiles"
)

// A disk that drops have filled to the last byte: folding fails, and loses
// nothing. It goes on as soon as there is a little room.
func TestRootDiskFullOfDrops(t *testing.T) {
	at := t.TempDir()
	must(t, syscall.Mount("tmpfs", at, "tmpfs", 0, "size=3m"))
	t.Cleanup(func() { must(t, syscall.Unmount(at, syscall.MNT_DETACH)) })
	sp, err := spoolfiles.Create(at)
	must(t, err)
	defer sp.Close()
	ballast := filepath.Join(at, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, 64<<10), 0o600))
	var want []uint64
	for i := 1; ; i++ {
		err := os.WriteFile(filepath.Join(sp.Incoming.Path(), fmt.Sprintf("%06d.json", i)),
			fmt.Appendf(nil, `{"recorded_at":%d,"payload":"%s"}`, i, strings.Repeat("x", 3000)), 0o600)
		if err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
		want = append(want, uint64(i))
	}
	must(t, os.Remove(filepath.Join(sp.Incoming.Path(), fmt.Sprintf("%06d.json", len(want)+1))))
	fill, err := os.Create(filepath.Join(at, "fill"))
	must(t, err)
	defer fill.Close()
	for err == nil {
		_, err = fill.Write(make([]byte, 512))
	}

	q := New(sp, options(0), nil)
	if _, err := q.Fold(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is full, but: %v", err)
	}
	if n, err := sp.CountDrops(); n != len(want) || err != nil {
		t.Fatalf("%d drops are left of %d, %v", n, len(want), err)
	}
	must(t, os.Remove(ballast))
	for n := len(want); n > 0; {
		_, err := q.Fold(t.Context())
		left, cerr := sp.CountDrops()
		must(t, cerr)
		if left == n {
			t.Fatalf("%d drops are left, and none is folded any more: %v", left, err)
		}
		n = left
	}
	got := peek(t, q)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the queue has %d signals of %d", len(got), len(want))
	}
	closes(t, q)
}
