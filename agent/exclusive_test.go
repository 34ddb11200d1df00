package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"spoolagent/spoolfiles"
)

func TestSecondAgentIsRefused(t *testing.T) {
	p, state := dir(t), dir(t)
	kill := help(t, "agent", `"serving"`, state, p)
	if err := start(t, Config{}, p).wait(); err == nil || !strings.Contains(err.Error(), p) {
		t.Errorf("the second agent ended with %v", err)
	}
	kill()
	start(t, Config{}, p).until(p, StateServing)
}

func TestSecondAgentWaits(t *testing.T) {
	p, state := dir(t), dir(t)
	kill := help(t, "agent", `"serving"`, state, p)
	first, _, err := Serving(open(t, p))
	must(t, err)
	second := start(t, Config{Service: true, Settings: Settings{ScanInterval: 50 * time.Millisecond}}, p)
	said := second.until(p, StateHeld).Message
	for _, part := range []string{p, fmt.Sprintf("pid %d,", first.PID), "version helper", first.StartedAt.Format(time.RFC3339)} {
		if !strings.Contains(said, part) {
			t.Errorf("the state does not say %s: %s", part, said)
		}
	}
	kill()
	second.until(p, StateServing)
}

func TestTakeover(t *testing.T) {
	a, b, state := dir(t), dir(t), dir(t)
	kill := help(t, "agent", `"serving"`, state, a)
	r := start(t, Config{Settings: Settings{ScanInterval: 50 * time.Millisecond}}, a, b)
	if s := r.until(a, StateHeld); !strings.Contains(s.Message, "pid") {
		t.Errorf("the state says %q", s.Message)
	}
	r.until(b, StateServing)
	kill()
	r.until(a, StateServing)
	drop(t, a, "x")
	queued(t, a, "x")
}

func TestServiceWaitsForItsOnlyProject(t *testing.T) {
	p, state := dir(t), dir(t)
	kill := help(t, "agent", `"serving"`, state, p)
	r := start(t, Config{Service: true, Settings: Settings{ScanInterval: 50 * time.Millisecond}}, p)
	r.until(p, StateHeld)
	kill()
	r.until(p, StateServing)
}

func TestMissingProject(t *testing.T) {
	p := filepath.Join(dir(t), "no", "such")
	r := start(t, Config{}, p)
	r.until(p, StateMissing)
	must(t, os.MkdirAll(p, 0o700))
	r.until(p, StateServing) // made at the first sight of the project
}

func TestServingAsksTheLock(t *testing.T) {
	p := dir(t)
	sp := open(t, p)
	if _, ok, err := Serving(sp); ok || err != nil {
		t.Fatalf("never served, but: %v, %v", ok, err)
	}
	kill := help(t, "agent", `"serving"`, dir(t), p)
	if h, ok, err := Serving(sp); !ok || err != nil || h.Version != "helper" {
		t.Fatalf("served, but: %+v, %v, %v", h, ok, err)
	}
	kill()
	if _, ok, err := Serving(sp); ok || err != nil {
		t.Fatalf("killed, but: %v, %v", ok, err)
	}
}

// Whoever asks holds the lock for a moment; that must not keep an agent out.
func TestAskingDoesNotHinder(t *testing.T) {
	p := dir(t)
	sp := open(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	var askers sync.WaitGroup
	for range 2 {
		askers.Go(func() {
			for ctx.Err() == nil {
				Serving(sp)
			}
		})
	}
	defer askers.Wait()
	defer cancel()
	for range 10 {
		l, err := lock(sp.Root, Holder{PID: 1}, p)
		must(t, err)
		must(t, l.Unlock())
	}
}

func TestDeletedLockIsTakenAnew(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	sp := open(t, p)
	must(t, os.Remove(inSpool(p, "agent.lock")))
	eventually(t, "the lock is held again", func() bool {
		_, ok, err := Serving(sp)
		return ok && err == nil
	})
	must(t, r.end())
}

func TestLockOfANewSpool(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	must(t, os.RemoveAll(inSpool(p)))
	drop(t, p, "x")
	queued(t, p, "x")
	sp, err := spoolfiles.Open(p)
	must(t, err)
	defer sp.Close()
	eventually(t, "the new lock is held", func() bool {
		h, ok, err := Serving(sp)
		return ok && err == nil && h.PID == os.Getpid()
	})
}

// A spool that goes between its opening and the locking is not held by anybody.
func TestLockOfASpoolThatHasGone(t *testing.T) {
	sp := open(t, dir(t))
	must(t, os.RemoveAll(sp.Root.Path()))
	_, err := lock(sp.Root, Holder{PID: 1}, "the project is")
	if _, held := errors.AsType[*HeldError](err); held || err == nil {
		t.Errorf("%v", err)
	}
}

// What an agent says in the file of its lock does not make that file anew: somebody
// may be deleting the spool.
func TestSigningMakesNoFile(t *testing.T) {
	p := dir(t)
	sp, err := spoolfiles.Create(p)
	must(t, err)
	defer sp.Close()
	l, err := lock(sp.Root, Holder{PID: 1}, "")
	must(t, err)
	defer l.Unlock()
	must(t, os.Remove(inSpool(p, holderName)))
	if err := sign(sp.Root, Holder{PID: 1}, 0); err == nil || exists(inSpool(p, holderName)) {
		t.Errorf("made again: %v", err)
	}
}
