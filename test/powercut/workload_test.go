//go:build linux && powercut

package powercut

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// actor is one of those that work at the same time. It does its part for the
// n-th time, and says how long to wait until the next.
type actor func(n int, rnd *rand.Rand) time.Duration

const ms = time.Millisecond

// work has everybody work for a time.
func (s *stage) work(length time.Duration) {
	actors := []actor{s.dropper(), s.consumer("one"), s.stranger, s.observer, s.registrar, s.operator, s.committer(length)}
	if s.setup.cap == 0 {
		actors = append(actors, s.consumer("two"))
	}
	stop := make(chan struct{})
	failed := make(chan error, len(actors))
	var all sync.WaitGroup
	for i, act := range actors {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(2, uint64(i)))
			err := attempt(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					case <-time.After(act(n, rnd)):
					}
				}
			})
			if err != nil {
				failed <- err
			}
		})
	}
	var err error
	select {
	case err = <-failed:
	case <-time.After(length):
	}
	close(stop)
	all.Wait()
	if err == nil && len(failed) > 0 {
		err = <-failed
	}
	check(err)
}

func choose[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

// dropper drops signals in bursts, and sometimes what will be rejected.
func (s *stage) dropper() actor {
	count := 0
	return func(n int, rnd *rand.Rand) time.Duration {
		for range choose(rnd, 1, 1, 2, 5, 30) {
			count++
			s.drop(fmt.Sprint("S", count))
		}
		if rnd.Float64() < 0.2 {
			s.dropBad(n, rnd.Float64() < 0.5)
		}
		return choose(rnd, 10*ms, 30*ms, 100*ms, 300*ms)
	}
}

// consumer drains by control file, and acknowledges most replies.
func (s *stage) consumer(name string) actor {
	return func(n int, rnd *rand.Rand) time.Duration {
		s.drain(fmt.Sprint(name, n), rnd.Float64() < 0.7)
		return choose(rnd, 20*ms, 100*ms, 400*ms)
	}
}

// stranger appends to the queue under its lock, with and without a sync, and
// sometimes truncates it.
func (s *stage) stranger(n int, rnd *rand.Rand) time.Duration {
	if rnd.Float64() < 0.7 {
		s.append(fmt.Sprintf("%c%d", choose(rnd, 'F', 'G'), n))
	} else if f := lock(s.project(), unix.LOCK_EX); f != nil {
		defer f.Close()
		n := note{kind: taken, ids: sound("a stranger's queue", must(io.ReadAll(f))), seq: s.now()}
		check(f.Truncate(0))
		s.add(n)
	}
	return choose(rnd, 100*ms, 300*ms, 900*ms)
}

// observer notes what is in the queue.
func (s *stage) observer(_ int, rnd *rand.Rand) time.Duration {
	s.see(seen, queued(s.project())...)
	return choose(rnd, 3*ms, 10*ms, 20*ms)
}

// registrar has one project after another register itself.
func (s *stage) registrar(n int, rnd *rand.Rand) time.Duration {
	s.register(n, n%3 != 2)
	return choose(rnd, 500*ms, 1500*ms)
}

// operator stops the agent, drains without it, and starts it again.
func (s *stage) operator(n int, rnd *rand.Rand) time.Duration {
	if n > 0 {
		check(s.agent.stop())
		drained := note{kind: taken, seq: s.now()}
		drained.ids = sound("agent drain", run(s.host.agent("drain", "--project", s.project())))
		s.add(drained)
		s.agent = s.start()
	}
	return choose(rnd, 2000*ms, 4000*ms)
}

// committer syncs the file system in the middle of the work.
func (s *stage) committer(length time.Duration) actor {
	return func(n int, _ *rand.Rand) time.Duration {
		if n == 1 {
			s.commit()
		}
		return length / 2
	}
}
