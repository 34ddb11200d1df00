package agent

import (
	"os"
	"path/filepath"
	"testing"

	"spoolagent/spoolfiles"
)

// With too few descriptors a spool is only open while it is looked at. That
// must not show.
func TestSpoolsThatAreNotKept(t *testing.T) {
	a, b := dir(t), dir(t)
	// For one spool, whichever comes first.
	r := start(t, Config{descriptors: 2 * perSpool}, a, b)
	for _, p := range []string{a, b} {
		r.until(p, StateServing)
		drop(t, p, "1")
		queued(t, p, "1")
		if _, served, err := Serving(open(t, p)); !served || err != nil {
			t.Errorf("it is not locked between looks: %v", err)
		}
		request(t, p, "one")
		reply(t, p, "one")

		must(t, os.RemoveAll(inSpool(p, "incoming")))
		eventually(t, "the directory is there again", func() bool { return exists(inSpool(p, "incoming")) })
		drop(t, p, "2")
		queued(t, p, "2")

		must(t, os.Rename(inSpool(p), filepath.Join(p, "old")))
		drop(t, p, "3")
		queued(t, p, "3")
		r.until(p, StateServing)

		must(t, os.RemoveAll(inSpool(p)))
		r.until(p, StateMissing)
		if exists(inSpool(p)) {
			t.Fatal("the spool was made again")
		}
		drop(t, p, "4")
		queued(t, p, "4")
	}
	must(t, r.end())
	for _, p := range []string{a, b} {
		sp, err := spoolfiles.Open(p)
		must(t, err)
		if _, served, err := Serving(sp); served || err != nil {
			t.Errorf("it is locked after the agent's end: %v", err)
		}
		must(t, sp.Close())
	}
}
