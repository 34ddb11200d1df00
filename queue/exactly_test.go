//go:build linux && !portable

package queue

import (
	"context"
	"testing"
)

// These tests let strangers come between a crash and the recovery.

// A copy is cut, others take what there is of it, and the queue is filled anew, with
// a stranger's line in its place, which begins alike.
func TestCutPieceReplaced(t *testing.T) {
	t.Parallel()
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
		recovery(1)
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
}

func TestKillBesideStrangers(t *testing.T) {
	t.Parallel()
	killing(t, "exact", true, rounds(200))
}
