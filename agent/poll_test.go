package agent

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/agent/watch"
)

func TestUnchanged(t *testing.T) {
	p := dir(t)
	drop(t, p, "a")
	open(t, p)
	now := time.Unix(1_700_000_000, 0)
	limit := errors.New("no watches")
	a := &agent{watches: watch.NewTable(func() (watch.Watcher, error) {
		if limit != nil {
			return nil, limit
		}
		return watch.New()
	})}
	w := &worker{agent: a, project: p, unwatched: errors.New("it is"), fullAt: now}
	// So that the next change shows, however coarse the file system's clock is.
	for _, name := range []string{"", "incoming", "control"} {
		must(t, os.Chtimes(inSpool(p, name), now, now))
	}
	// after is what a poll finds so long after the last one.
	after := func(d time.Duration, want bool) {
		t.Helper()
		now = now.Add(d)
		if got := w.unchanged(now); got != want {
			t.Errorf("unchanged: %v", got)
		}
	}
	rest := func() {
		t.Helper()
		after(time.Second, false) // something may come that has the same time
		after(coarse, true)
		after(time.Second, true)
	}
	after(0, false)
	rest()

	must(t, os.WriteFile(inSpool(p, "incoming", "b.json"), nil, 0o600))
	after(time.Second, false)
	rest()
	must(t, os.WriteFile(inSpool(p, "control", "c.drain"), nil, 0o600))
	after(time.Second, false)
	rest()

	// What the clock alone changes.
	w.due = now.Add(10 * time.Second)
	after(time.Second, true)
	after(9*time.Second, false)
	w.due = time.Time{}
	after(0, true)

	// Where a stamp tells nothing.
	w.lock = flock.New(inSpool(p, lockName())) // which is not held
	after(0, false)
	w.lock, w.unwatched = nil, watch.ErrForeign
	after(0, false)
	w.unwatched = errors.New("again")
	after(0, true)

	// A full scan is due, or it can be watched by now.
	next := now.Truncate(DefaultScanInterval).Add(DefaultScanInterval).Sub(now)
	after(next, true)
	limit = nil
	after(pollInterval, true)
	after(DefaultScanInterval-pollInterval, false)
	if !w.full.Swap(false) {
		t.Error("it can be watched, but no full scan is due")
	}
	must(t, a.watches.Close())
	w.unwatched = nil
	w.fullAt = now
	after(0, true)
	w.fullAt = now.Add(-fullInterval)
	after(0, false)
	w.fullAt = now
	w.full.Store(true)
	after(0, false)
	w.full.Store(false)

	must(t, os.Rename(inSpool(p), inSpool(p)+"-away"))
	after(time.Second, false)
	open(t, p)
	after(time.Second, false)
	rest()
	must(t, os.RemoveAll(inSpool(p)))
	after(time.Second, false)
}
