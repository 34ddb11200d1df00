//go:build linux && !portable

package queue

import (
	"context"
	"testing"
)

// These tests let strangers come between a crash and the recovery.

// A recovery is to blank the piece of a line at which a copy was cut. If that has
// been taken meanwhile, and the queue filled anew, a stranger's line is in its
// place, which begins alike.
func TestCutPieceReplaced(t *testing.T) {
	t.Parallel()
	pieces := 0
	for first := range int64(50) {
		s := newScene(t, 3)
		s.drop(3)
		s.doFold(s.queue())
		s.drop(2)
		recovery := func(after int64) {
			q := s.queue()
			cutShort(q, after, func() {
				if err := q.Recover(context.Background()); err != nil {
					s.Fatal(err)
				}
			})
		}
		q := s.queue()
		cutShort(q, 4+first, func() { s.doFold(q) }) // within the new lines
		s.append()
		s.take()
		recovery(13) // within a line
		s.append()
		recovery(1) // the blanking of its piece is planned
		if r, cells := s.pending(); r != nil && r.Torn && !begun(cells) {
			pieces++
		}
		s.take()
		for range 12 {
			s.append()
		}
		s.recoverAll()
		s.sp.Close()
		if t.Failed() {
			t.Fatalf("first cut after %d steps", 4+first)
		}
	}
	if pieces == 0 {
		t.Error("no piece of a line was to be blanked")
	}
}

func TestKillBesideStrangers(t *testing.T) {
	t.Parallel()
	k := killing(t, "exact", true, rounds(200))
	if !testing.Short() && k.pending == 0 {
		t.Error("no kill hit a transaction")
	}
}
