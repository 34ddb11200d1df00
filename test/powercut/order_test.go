//go:build linux && powercut

package powercut

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The order in which the steps of a transaction reach the disk matters where
// somebody else has the file system commit what it has in the middle of one.
// These tests are about that.

// amid acts while another program syncs files of its own, one after another,
// and now and then the whole file system.
func (s *stage) amid(act func()) {
	stop := make(chan struct{})
	var err error
	var syncer sync.WaitGroup
	syncer.Go(func() {
		err = attempt(func() {
			f := must(os.Create(s.mnt + "/busy"))
			defer f.Close()
			rnd := rand.New(rand.NewPCG(4, 4))
			for {
				select {
				case <-stop:
					return
				case <-time.After(choose(rnd, ms, 3*ms, 7*ms)):
				}
				if rnd.IntN(3) == 0 {
					s.syncfs()
					continue
				}
				must(f.WriteAt(make([]byte, block), 0))
				check(unix.Fsync(int(f.Fd())))
			}
		})
	})
	from := s.now()
	acted := attempt(act)
	s.busy = append(s.busy, [2]int{from, s.now()})
	close(stop)
	syncer.Wait()
	check(errors.Join(acted, err))
}

// onBusyDisk has signals in the queue, and then acts some times. act calls amid;
// the cuts are made there.
func onBusyDisk(t *testing.T, c setup, act func(s *stage, n int)) {
	t.Parallel()
	scenario(t, c, func(s *stage) (start int) {
		for n := range 4 {
			s.dropAll(1000*n, 1000*n+20, 1)
			s.commit()
			if n == 0 {
				start = s.now()
			}
			act(s, n)
		}
		return start
	}, func(r *recording, rnd *rand.Rand, limit int) []cut {
		return append(r.atFlushes(rnd, 6*limit), r.atWrites(rnd, limit)...)
	})
}

// Drops that are on the disk are not removed before their lines are.
func TestFoldsOnBusyDisk(t *testing.T) {
	onBusyDisk(t, setup{}, func(s *stage, n int) {
		check(s.agent.stop())
		var ids []string
		for i := range 20 {
			ids = append(ids, fmt.Sprint("S", 1000*n+100+i))
			s.drop(ids[i])
		}
		s.commit()
		s.see(seen, ids...)
		s.amid(func() {
			s.agent = s.start()
			s.await(s.project(), ids[len(ids)-1])
		})
	})
}

// Lines do not leave the queue before the reply that has them is on the disk,
// or the record that says so.
func TestDrainsOnBusyDisk(t *testing.T) {
	onBusyDisk(t, setup{}, func(s *stage, n int) {
		s.amid(func() { s.drain(fmt.Sprint("drain", n), false) })
	})
}

// The same where a line of zeros is left, which takes a compaction first.
func TestCompactsOnBusyDisk(t *testing.T) {
	onBusyDisk(t, setup{}, func(s *stage, n int) {
		f := lock(s.project(), unix.LOCK_EX)
		must(f.WriteAt([]byte(zeros+"\n"), must(f.Stat()).Size()))
		check(f.Close())
		s.append(fmt.Sprint("G", 1000*n))
		s.amid(func() { s.drain(fmt.Sprint("drain", n), false) })
	})
}

// Lines of a reply that returns, and of the queue, are in the record while the
// queue is empty.
func TestReturnsOnBusyDisk(t *testing.T) {
	onBusyDisk(t, setup{ttl: time.Second}, func(s *stage, n int) {
		id := fmt.Sprint("drain", n)
		s.drain(id, false)
		s.dropAll(1000*n+100, 1000*n+120, 1)
		gone := func(path string) func() bool {
			return func() bool {
				_, err := os.Lstat(path)
				return errors.Is(err, fs.ErrNotExist)
			}
		}
		check(poll(answerPatience, "the begin of the return of "+id, gone(s.reply(id))))
		s.amid(func() {
			check(poll(answerPatience, "the return of "+id, gone(strings.TrimSuffix(s.reply(id), ".signals")+".returning")))
			s.see(seen, queued(s.project())...)
		})
	})
}

// What "agent add" has registered stays so.
func TestAddedProjectStays(t *testing.T) {
	t.Parallel()
	scenario(t, setup{}, func(s *stage) int {
		start := s.now()
		for n := range 4 {
			check(os.Mkdir(s.other(n), 0o700))
			s.commit()
			run(s.host.agent("add", s.other(n)))
			s.add(note{seq: s.now(), kind: added, project: s.other(n)})
		}
		return start
	}, anywhere)
}

// A reply is in its place on the disk before the record of the next drain is.
// Nothing but the record of its own drain says that it is in tmp still.
func TestRepliesPrecedeTheNextRecord(t *testing.T) {
	t.Parallel()
	scenario(t, setup{}, func(s *stage) (start int) {
		for n := range 4 {
			s.dropAll(100*n, 100*n+20, 1)
			if n == 0 {
				s.commit()
				start = s.now()
			}
			s.drain(fmt.Sprint("drain", n), false)
		}
		return start
	}, func(r *recording, rnd *rand.Rand, limit int) []cut {
		return append(r.atFlushes(rnd, 2*limit), r.atWrites(rnd, limit)...)
	})
}
