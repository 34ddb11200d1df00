//go:build long

package queue

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"spoolagent/spoolfiles"
)

func TestLongBacklog(t *testing.T) {
	const n = 10_000
	t.Parallel()
	for name, c := range map[string]struct {
		cap int
		bad func(i int) bool
	}{
		"cap 100":                     {cap: 100},
		"no cap":                      {cap: 0},
		"cap 5,000":                   {cap: 5000},
		"malformed among the newest":  {cap: 100, bad: func(i int) bool { return i >= n-150 && i%3 == 0 }},
		"malformed more than a batch": {cap: 10, bad: func(i int) bool { return i >= n-6000 }},
		"hardly anything else":        {cap: 50, bad: func(i int) bool { return i != 3 && i != 9000 }},
	} {
		t.Run(name, func(t *testing.T) {
			sp := project(t)
			var want []uint64
			rejected := int64(0)
			for i := range n {
				content := signalAt(i)
				if c.bad != nil && c.bad(i) {
					content = "{"
					rejected++
				} else {
					want = append(want, uint64(i))
				}
				place(t, sp, fmt.Sprintf("%x.json", i*7919%n), content, longAgo.Add(time.Duration(i)*time.Millisecond))
			}
			if c.cap > 0 && len(want) > c.cap {
				want = want[len(want)-c.cap:]
			}
			q := New(sp, options(c.cap), nil)
			res := fold(t, q)
			if got := peek(t, q); !slices.Equal(got, want) {
				t.Fatalf("the queue has %d signals, from %v; want %d, from %v", len(got), got[:min(3, len(got))], len(want), want[:3])
			}
			l := closes(t, q)
			if l.Rejected != rejected || l.Folded+l.Rejected != n || l.Evicted != n-rejected-int64(len(want)) {
				t.Errorf("%+v; want %d rejected", l, rejected)
			}
			if int64(res.Rejected) != l.Rejected || int64(res.Folded) != l.Folded || int64(res.Evicted) != l.Evicted || len(res.Rejects) > spoolfiles.MaxRejects {
				t.Errorf("reported: %d, %d, %d; %+v", res.Folded, res.Evicted, res.Rejected, l)
			}
			incoming, err := sp.CountDrops()
			kept, rerr := sp.CountRejects()
			if err != nil || rerr != nil || incoming != 0 || kept != int(min(rejected, spoolfiles.MaxRejects)) {
				t.Errorf("%d drops, %d rejects, %v, %v", incoming, kept, err, rerr)
			}
		})
	}
}

func TestFreshDropIsLeft(t *testing.T) {
	sp := project(t)
	q := New(sp, options(100), nil)
	// From a little ahead, so that it stays fresh however slow this goes.
	fresh := time.Now().Add(Grace - 100*time.Millisecond)
	place(t, sp, "half.json", `{"payload":"ha`, fresh)
	place(t, sp, "old.json", `{"payload":"ha`, time.Now().Add(-Grace))
	place(t, sp, "future.json", `{"payload":"ha`, time.Now().Add(time.Hour))
	place(t, sp, "good.json", signalAt(1), fresh)
	res := fold(t, q)
	if res.Rejected != 2 || res.Folded != 1 {
		t.Errorf("%+v", res)
	}
	if at := fresh.Add(Grace); res.Due.Sub(at).Abs() > time.Millisecond {
		t.Errorf("next look at %v, want %v", res.Due, at)
	}
	if n, err := sp.CountDrops(); n != 1 || err != nil {
		t.Fatalf("%d drops are left, %v", n, err)
	}
	place(t, sp, "half.json", `{"payload":"half","recorded_at":2}`, fresh)
	if res := fold(t, q); res.Folded != 1 || !res.Due.IsZero() {
		t.Errorf("%+v", res)
	}
	wantQueue(t, q, 1, 2)
}

func TestNamesThatAreNoDrops(t *testing.T) {
	sp := project(t)
	for _, name := range []string{".hidden.json", "a.txt", ".json", "json", "b.json.tmp", "c.JSON"} {
		place(t, sp, name, signalAt(1), longAgo)
	}
	if res := fold(t, New(sp, options(100), nil)); res.Folded+res.Rejected != 0 {
		t.Errorf("%+v", res)
	}
	entries, err := os.ReadDir(sp.Incoming.Path())
	if err != nil || len(entries) != 6 {
		t.Errorf("%v, %v", entries, err)
	}
}
