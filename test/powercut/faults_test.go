//go:build linux && powercut

package powercut

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// Each of these tests is named after a fault that the agent once had. They do
// what brought it about, and cut the power at many points from there on.

// scenario runs a test on each file system. act returns the number of records
// from which on the power is cut.
func scenario(t *testing.T, c setup, act func(*stage) int, cuts func(*recording, *rand.Rand, int) []cut) {
	if c.ttl == 0 {
		c.ttl = 10 * time.Minute
	}
	limit := 12
	if full() {
		limit = 40
	}
	for _, f := range fileSystems {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r := record(t, f, c, act)
			r.replay(t, cuts(r, rand.New(rand.NewPCG(3, 3)), limit))
		})
	}
}

func anywhere(r *recording, rnd *rand.Rand, limit int) []cut {
	return append(r.atFlushes(rnd, limit), r.atWrites(rnd, limit)...)
}

func atEach(r *recording, rnd *rand.Rand, limit int) []cut {
	return append(r.atEach(rnd, 3*limit), r.atWrites(rnd, limit)...)
}

// A reply stayed in tmp if the power was cut before the file system had
// committed its renaming and after another transaction had begun.
func TestAnsweredReplyStays(t *testing.T) {
	t.Parallel()
	scenario(t, setup{}, func(s *stage) int {
		for i := range 2 {
			s.dropAll(100*i, 100*i+5, 1)
			s.drain(fmt.Sprint("drain", i), true)
		}
		s.commit()
		s.dropAll(200, 205, 1)
		s.drain("drain", false)
		start := s.now()
		bad := s.dropBad(1, true)
		check(poll(answerPatience, "the reject", func() bool {
			_, err := os.Lstat(bad)
			return errors.Is(err, fs.ErrNotExist)
		}))
		s.calm()
		return start
	}, anywhere)
}

// The hook registered a project by a file that was empty after the power cut,
// and no later hook did it again.
func TestHookRegistersForGood(t *testing.T) {
	t.Parallel()
	scenario(t, setup{cap: 100}, func(s *stage) int {
		s.register(1, true)
		start := s.now()
		for n := 2; n < 5; n++ {
			id := fmt.Sprint("H", n)
			s.hook(s.other(1), id)
			s.await(s.other(1), id)
		}
		s.calm()
		return start
	}, anywhere)
}

// appendSynced is a stranger that appends lines of several sizes.
func (s *stage) appendSynced() {
	for _, id := range []string{"G3", "G8", "G1"} {
		s.append(id)
	}
	s.calm()
}

// After a drain, what a stranger had appended and synced was cut off.
func TestStrangersAppendAfterDrain(t *testing.T) {
	t.Parallel()
	scenario(t, setup{}, func(s *stage) int {
		s.dropAll(0, 20, 1)
		s.drain("drain", true)
		start := s.now()
		s.appendSynced()
		return start
	}, anywhere)
}

// The same after a fold that had made the queue shorter.
func TestStrangersAppendAfterEviction(t *testing.T) {
	t.Parallel()
	scenario(t, setup{cap: 10}, func(s *stage) int {
		s.dropAll(9, 109, 10)            // long ones
		for n := 110; n < 180; n += 10 { // short ones
			s.dropAll(n, n+1, 1)
		}
		start := s.now()
		s.appendSynced()
		return start
	}, anywhere)
}

// The file with the totals was empty or all zeros, and they began anew.
func TestTotalsGoOn(t *testing.T) {
	t.Parallel()
	for _, b := range []boot{known, unreadable} {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			scenario(t, setup{boot: b}, func(s *stage) (start int) {
				for i := range 12 {
					if i == 6 {
						s.commit()
						start = s.now()
					}
					s.dropAll(10*i, 10*i+3, 1)
					if i%3 == 2 {
						s.drain(fmt.Sprint("drain", i), true)
					}
				}
				return start
			}, anywhere)
		})
	}
}

// foldAndDrain makes large transactions: many drops wait for the agent, which
// folds and then drains them.
func foldAndDrain(s *stage) (start int) {
	for i := range 3 {
		check(s.agent.stop())
		if i == 1 {
			s.commit()
			start = s.now()
		}
		for n := 100 * i; n < 100*i+30; n++ {
			s.drop(fmt.Sprint("S", n))
		}
		s.agent = s.start()
		s.await(s.project(), fmt.Sprint("S", 100*i+29))
		if i == 1 {
			s.drain("drain", false)
		}
	}
	return start
}

// A record of which not all had reached the disk was set aside as malformed.
func TestTornRecord(t *testing.T) {
	t.Parallel()
	scenario(t, setup{}, foldAndDrain, atEach)
}

// Where the kernel tells no boot ID, the record of a boot before was taken for
// one of this boot, and garbled lines were delivered.
func TestUnknownBoot(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 25} {
		t.Run(fmt.Sprint("cap ", limit), func(t *testing.T) {
			t.Parallel()
			scenario(t, setup{cap: limit, boot: unreadable}, foldAndDrain, atEach)
		})
	}
}
