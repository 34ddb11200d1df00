//go:build unix

package protocol

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"spoolagent/internal/agenttest"
)

// Each producer makes batches*batch signals, from two processes at once.
const (
	batches = 10
	batch   = 20
	between = 4 // consumers in the same language, while a batch is made and until the next
)

// delivery is what one consumer has printed, and how it ended.
type delivery struct {
	who     string
	names   []string // of the signals
	whole   bool     // it did not stop within a line
	ended   fate
	waiting bool // killed, and one of its signals was seen in a reply afterwards
	stderr  string
}

type fate int

const (
	acknowledged fate = iota // it says so: exit status 0
	failed                   // it says that it did not: another status
	killed                   // it cannot say
)

// record has the deliveries in the order in which their consumers ended.
type record struct {
	sync.Mutex
	all []delivery
}

// TestTogether runs the producers and consumers of all languages at once.
// Consumers are killed at random instants, and give up at random.
//
// What a consumer printed counts as processed when it has deleted the reply.
// One that ended with status 0 has; one with another status has not. Of one
// that was killed it is not known from outside, but it is all or nothing: if
// it had, nobody else was given any of its signals after it; if it had not,
// all of them were given to one who did. So each signal must have exactly one
// consumer that acknowledged it, and the deliveries must all agree on that.
// That no reply was swallowed with a dead consumer is what the ledger is for.
func TestTogether(t *testing.T) {
	s := newStage(t, "cap = 0\nreply_ttl = \"1s\"")
	s.start()

	var want []string
	var mu sync.Mutex
	var rec record
	var producers, consumers sync.WaitGroup
	done := make(chan struct{})
	for _, l := range languages {
		ended := make(chan struct{}) // a consumer has
		produce := func(name string) {
			names := l.produce(s, name, batch/2)
			mu.Lock()
			want = append(want, names...)
			mu.Unlock()
		}
		producers.Go(func() {
			for b := range batches {
				var pair sync.WaitGroup
				pair.Go(func() { produce(fmt.Sprintf("%s-%d-one", l.name, b)) })
				pair.Go(func() { produce(fmt.Sprintf("%s-%d-two", l.name, b)) })
				for range between {
					<-ended
				}
				pair.Wait()
			}
		})
		consumers.Go(func() {
			usual := 250 * time.Millisecond
			for {
				rec.consume(s, l, &usual)
				select {
				case ended <- struct{}{}:
				case <-done:
					return
				}
			}
		})
	}
	producers.Wait()
	close(done)
	consumers.Wait()

	// What the dead have left comes back, and is drained.
	agenttest.Until(s, "all is drained", func() bool {
		out := s.run(languages[0].consumer(s, "60"), "")
		rec.add(s, "the last", out, false)
		st := s.status()
		return st.Queued+st.Incoming+st.Replies == 0 && len(s.list("control")) == 0
	})
	s.checkLedger(len(want))
	rec.check(t, want)
}

// consume runs one consumer. It may be given no time, or be killed: at a
// random instant until a little after it usually ends, or as soon as it prints.
func (r *record) consume(s *stage, l language, usual *time.Duration) {
	seconds := "60"
	how := rand.IntN(5)
	if how == 0 {
		seconds = "0"
	}
	cmd := l.consumer(s, seconds)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if how == 1 {
		cmd.Stdout = io.MultiWriter(&out, onWrite(func() { agenttest.KillGroup(cmd) }))
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		s.Errorf("%v: %v", cmd.Args, err)
		return
	}
	if how == 2 || how == 3 {
		life := time.AfterFunc(rand.N(*usual+*usual/4), func() { agenttest.KillGroup(cmd) })
		defer life.Stop()
	}
	cmd.Wait() // also until what it has started is dead, and lets go of the output
	res := result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	if res.status == 0 {
		*usual = time.Since(began)
	}
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	r.add(s, l.name, res, ws.Signaled() && ws.Signal() == syscall.SIGKILL)
}

type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

func (r *record) add(s *stage, who string, res result, wasKilled bool) {
	d := delivery{who: who, names: agenttest.Names(res.stdout), stderr: res.stderr,
		whole: res.stdout == "" || strings.HasSuffix(res.stdout, "\n")}
	switch {
	case wasKilled:
		d.ended = killed
		for _, path := range s.control(".signals") {
			if data, err := os.ReadFile(path); err == nil && slices.ContainsFunc(agenttest.Names(string(data)), func(name string) bool {
				return slices.Contains(d.names, name)
			}) {
				d.waiting = true
			}
		}
	case res.status != 0:
		d.ended = failed
		if res.status != 4 && res.status != 1 {
			s.Errorf("%s ended with status %d: %s", who, res.status, res.stderr)
		}
	}
	if d.ended == acknowledged && !d.whole {
		s.Errorf("%s acknowledged half a line: %q", who, res.stdout)
	}
	r.Lock()
	r.all = append(r.all, d)
	r.Unlock()
}

func (r *record) check(t *testing.T, want []string) {
	given := map[string][]int{} // deliveries of each signal
	for i, d := range r.all {
		for _, name := range d.names {
			if by := given[name]; len(by) > 0 && by[len(by)-1] == i {
				t.Errorf("one reply has %s twice", name)
			}
			given[name] = append(given[name], i)
		}
	}
	took := map[int]int{} // how many signals each delivery had that nobody else acknowledged
	for _, name := range want {
		by := given[name]
		delete(given, name)
		var sure []int
		last := -1
		for _, i := range by {
			switch r.all[i].ended {
			case acknowledged:
				sure = append(sure, i)
			case killed:
				last = i
			}
		}
		switch {
		case len(sure) > 1:
			t.Errorf("%s was acknowledged %d times", name, len(sure))
		case len(sure) == 1:
			took[sure[0]]++
		case last >= 0:
			took[last]++
		default:
			t.Errorf("%s is lost; it was given to %d consumers that failed", name, len(by))
		}
	}
	for name := range given {
		t.Errorf("a signal that nobody made: %s", name)
	}
	count := map[string]int{}
	for i, d := range r.all {
		n := took[i]
		switch {
		case n != 0 && n != len(d.names):
			t.Errorf("%s (%d) took %d of the %d signals that it printed", d.who, d.ended, n, len(d.names))
		case n > 0 && d.ended == killed && (d.waiting || !d.whole):
			t.Errorf("%s was killed over %d signals, and nobody was given them again", d.who, n)
		}
		count[fmt.Sprintf("%s: %s", d.who, []string{"acknowledged", "failed", "killed"}[d.ended])]++
		if d.ended == killed && len(d.names) > 0 && n == 0 {
			count[d.who+": killed over a reply that came again"]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%4d %s", count[what], what)
	}
}
