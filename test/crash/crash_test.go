//go:build linux && tools

package crash

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"spoolagent/internal/agenttest"
)

// whole: every point. With -short, it is a spread of them.
func whole() bool { return !testing.Short() }

// spread returns n of the points, evenly, the first and the last among them;
// all of them where the whole is wanted.
func spread[T any](points []T, n int) []T {
	if whole() || len(points) <= n {
		return points
	}
	return sample(points, n)
}

func sample[T any](points []T, n int) (some []T) {
	if len(points) <= n {
		return points
	}
	for i := range n {
		some = append(some, points[i*(len(points)-1)/(n-1)])
	}
	return some
}

// tally counts what was tried.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	order  []string
}

func (y *tally) add(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.counts == nil {
		y.counts = map[string]int{}
	}
	if y.counts[what] == 0 {
		y.order = append(y.order, what)
	}
	y.counts[what]++
}

func (y *tally) merge(of *tally) {
	for _, what := range of.order {
		for range of.counts[what] {
			y.add(what)
		}
	}
}

func (y *tally) String() string {
	var parts []string
	for _, what := range y.order {
		parts = append(parts, fmt.Sprintf("%d %s", y.counts[what], what))
	}
	return strings.Join(parts, ", ")
}

// each runs f for every scenario, and prints what was tried.
func each(t *testing.T, f func(t *testing.T, s *scenario, base string, y *tally)) {
	agenttest.Tool(t, "strace")
	var total tally
	t.Run("scenario", func(t *testing.T) {
		for i := range scenarios {
			s := &scenarios[i]
			t.Run(strings.ReplaceAll(s.name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				var y tally
				f(t, s, t.TempDir(), &y)
				t.Log(&y)
				total.merge(&y)
			})
		}
	})
	t.Logf("in total: %v", &total)
}

// undisturbed is what the process does if nothing befalls it.
func (s *scenario) undisturbed(t *testing.T, base string) []call {
	t.Helper()
	w := s.begin(t, base, "undisturbed")
	r := w.run(s.drive.program(w), []string{}, s.drive.done(w))
	if r.status != 0 {
		w.fatalf("failed: %s", r.stderr)
	}
	s.drive.after(w, r)
	s.end(w, nobody)
	return firstOurs(r.calls)
}

// strike runs the process and kills it at c, if it can.
func (s *scenario) strike(w *world, c call) result {
	w.t.Helper()
	r := w.run(s.drive.program(w), kill(c), s.drive.done(w))
	if !r.killed && r.status != 0 {
		w.fatalf("was not killed, and failed: %s", r.stderr)
	}
	if _, ok := s.drive.(helper); ok && !r.killed {
		w.fatalf("was not killed")
	}
	s.drive.after(w, r)
	w.locked(func(*os.File, string) {})
	return r
}

// TestKill kills the process at each of its file-system calls.
func TestKill(t *testing.T) {
	each(t, func(t *testing.T, s *scenario, base string, y *tally) {
		calls := s.undisturbed(t, base)
		changes := filter(calls, changing)
		some, few := spread(calls, 30), spread(changes, 12)
		if s.few {
			some, few = sample(changes, 6), nil
			if whole() {
				some, few = sample(changes, 20), sample(changes, 5)
			}
		}
		reached := map[int]bool{}
		try := func(c call, v visitor) {
			w := s.begin(t, base, fmt.Sprintf("killed at %v; then comes %s", c, v))
			r := s.strike(w, c)
			if !r.killed {
				y.add("times too late")
				s.end(w, nobody)
				return
			}
			reached[len(filter(r.calls, changing))] = true
			y.add("crash points, then " + string(v))
			w.full = true
			w.visit(v)
			s.end(w, v)
		}
		for _, c := range some {
			try(c, nobody)
		}
		for _, v := range visitors {
			for _, c := range few {
				try(c, v)
			}
		}
		if !whole() || s.few {
			return
		}
		// In which thread a call comes is not the same each time, and strace
		// counts by threads: so what has been missed is tried again.
		for range 2 {
			for i, c := range changes {
				if !reached[i+1] {
					try(c, nobody)
				}
				for c.nth = len(filter(changes[:i+1], c.sameName)); c.nth > 0 && !reached[i+1]; c.nth-- {
					try(c, nobody)
				}
			}
		}
		n := 0
		for i := range changes {
			if reached[i+1] {
				n++
			}
		}
		t.Logf("%d calls, of which %d change something; killed before %d of these", len(calls), len(changes), n)
		if n < len(changes)*3/4 {
			t.Errorf("too few: strace does not hit what it is to hit")
		}
	})
}

// TestKillRecovery kills the process at each call that changes something, and
// then the next one at each call of its recovery that does.
func TestKillRecovery(t *testing.T) {
	each(t, func(t *testing.T, s *scenario, base string, y *tally) {
		if s.few {
			return // the same with fewer drops is among the others
		}
		changes := filter(s.undisturbed(t, base), changingSpool)
		firsts, seconds := spread(changes, 4), 4
		if _, ok := s.drive.(helper); whole() && ok {
			seconds = 1000
		} else if whole() {
			// What the real program does more than the helper, it does
			// before and after these.
			firsts, seconds = sample(changes, 12), 8
		}
		// crash brings a world to where the first process was killed.
		crash := func(c call, v visitor, label string) *world {
			w := s.begin(t, base, fmt.Sprintf("killed at %v; then comes %s; then %s", c, v, label))
			s.strike(w, c)
			w.visit(v)
			return w
		}
		for _, v := range []visitor{nobody, drainer, exchanger} {
			for _, first := range firsts {
				w := crash(first, v, "undisturbed")
				r := w.run(s.drive.program(w), []string{}, s.drive.done(w))
				if r.status != 0 {
					w.fatalf("failed: %s", r.stderr)
				}
				s.drive.after(w, r)
				s.end(w, v)
				for i, second := range sample(filter(firstOurs(r.calls), changingSpool), seconds) {
					last := append([]visitor{nobody}, visitors...)[i%4]
					w := crash(first, v, fmt.Sprintf("killed at %v; then comes %s", second, last))
					r := w.run(s.drive.program(w), kill(second), s.drive.done(w))
					if !r.killed && r.status != 0 {
						w.fatalf("failed: %s", r.stderr)
					}
					if r.killed {
						y.add("crash points of a recovery after " + string(v))
					} else {
						y.add("times too late")
					}
					w.full = true
					s.drive.after(w, r)
					w.locked(func(*os.File, string) {})
					w.visit(last)
					end := nobody
					if v != nobody || last != nobody {
						end = drainer
					}
					s.end(w, end)
				}
			}
		}
	})
}

// TestError has each call fail that can fail on a sick or full disk, once, or
// from then on; and each that only looks, once.
func TestError(t *testing.T) {
	each(t, func(t *testing.T, s *scenario, base string, y *tally) {
		if _, ok := s.drive.(agentCommand); ok || s.few {
			return // the same calls are among the others
		}
		calls := s.undisturbed(t, base)
		reads := spread(filter(calls, reading), 12)
		if _, ok := s.drive.(helper); !ok {
			reads = nil // it might hit the loading of the program
		}
		for _, c := range reads {
			// What cannot be read may have to wait, and its turn is lost; but
			// that is all that may come of it.
			w := s.begin(t, base, fmt.Sprintf("EIO at %v", c))
			r := w.run(s.drive.program(w), fail(c, "EIO", nil), nil)
			if r.killed || r.status > 1 || strings.Contains(r.stderr, "goroutine ") {
				w.fatalf("status %d: %s", r.status, r.stderr)
			}
			y.add("errors of reading")
			w.late = true
			s.drive.after(w, r)
			w.locked(func(*os.File, string) {})
			s.end(w, drainer)
		}
		calls = filter(calls, failing)
		for i, c := range calls {
			for j, errno := range []string{"ENOSPC", "EIO", "EDQUOT", "ENOSPC"} {
				if !whole() && (i+j)%3 > 0 {
					continue
				}
				var more []call
				label := fmt.Sprintf("%s at %v", errno, c)
				if j == 3 {
					more = calls[i:]
					label += ", and at all that writes from there on"
				}
				inject := fail(c, errno, more)
				if inject == nil {
					continue // nothing is written from there on
				}
				w := s.begin(t, base, label)
				r := w.run(s.drive.program(w), inject, nil)
				if r.killed || r.status > 1 || strings.Contains(r.stderr, "goroutine ") {
					w.fatalf("status %d: %s", r.status, r.stderr)
				}
				failed := filter(r.calls, func(c call) bool { return c.failed })
				v := nobody
				w.full = true
				switch {
				case len(failed) == 0:
					y.add("times too late")
				case !slices.ContainsFunc(failed, failing):
					y.add("errors elsewhere")
				case r.status > 0:
					y.add("errors")
				case strings.Contains(r.stderr, "left behind"):
					y.add("errors that were told")
				case slices.ContainsFunc(failed, func(c call) bool { return strings.Contains(fmt.Sprint(c), ": 2<") }):
					y.add("errors that standard error kept from being told")
					v, w.late = drainer, true
				case len(failed) == 1 && failed[0].name == "unlinkat" && strings.Contains(fmt.Sprint(failed), `.drain"`):
					y.add("failed removals of a request that there never was")
				case errno == "EIO" && c.name == "fallocate":
					y.add("errors that only cost a precaution")
				case errno == "EIO" && !slices.ContainsFunc(failed, func(c call) bool {
					return c.name != "ftruncate" || !strings.Contains(fmt.Sprint(c), "distill-pending.queue")
				}):
					y.add("blanks that stay in the queue")
				case errno != "EIO" && j < 3:
					y.add("full disks that a smaller batch got round")
				default:
					w.fatalf("reported no error of %v: %s", failed, r.stderr)
				}
				if slices.ContainsFunc(failed, reading) || strings.Contains(r.stderr, "back in the queue") || strings.Contains(r.stderr, "left behind") {
					// It hit in another thread, too. If that was the reading of
					// a drop, this one comes later; if it was that of a reply,
					// its signals are drained twice, and once returned.
					v, w.late = drainer, true
				}
				s.drive.after(w, r)
				w.locked(func(*os.File, string) {})
				s.end(w, v)
			}
		}
	})
}
