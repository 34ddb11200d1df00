package agent

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"spoolagent/agent/watch"

	"github.com/fsnotify/fsnotify"
)

// faultyWatcher is a real watcher that can be made to fail.
type faultyWatcher struct {
	watch.Watcher
	events chan fsnotify.Event
	errs   chan error

	mu   sync.Mutex
	add  error // what Add returns
	deaf bool  // events get lost
}

func (w *faultyWatcher) Events() <-chan fsnotify.Event { return w.events }
func (w *faultyWatcher) Errors() <-chan error          { return w.errs }

func (w *faultyWatcher) set(add error, deaf bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add, w.deaf = add, deaf
}

func (w *faultyWatcher) Add(dir string) error {
	w.mu.Lock()
	err := w.add
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return w.Watcher.Add(dir)
}

func newFaulty(t *testing.T) *faultyWatcher {
	t.Helper()
	real, err := watch.New()
	must(t, err)
	w := &faultyWatcher{Watcher: real, events: make(chan fsnotify.Event), errs: make(chan error)}
	var readers sync.WaitGroup
	readers.Go(func() {
		defer close(w.events)
		for ev := range real.Events() {
			w.mu.Lock()
			deaf := w.deaf
			w.mu.Unlock()
			if !deaf {
				w.events <- ev
			}
		}
	})
	readers.Go(func() {
		defer close(w.errs)
		for err := range real.Errors() {
			w.errs <- err
		}
	})
	t.Cleanup(func() {
		real.Close()
		readers.Wait()
	})
	return w
}

func (w *faultyWatcher) make() (watch.Watcher, error) { return w, nil }

func TestOverflow(t *testing.T) {
	a, b := dir(t), dir(t)
	w := newFaulty(t)
	r := start(t, Config{NewWatcher: w.make}, a, b)
	r.until(a, StateServing)
	r.until(b, StateServing)
	w.set(nil, true)
	drop(t, a, "lost")
	drop(t, b, "lost")
	w.errs <- fsnotify.ErrEventOverflow
	queued(t, a, "lost")
	queued(t, b, "lost")
}

// An event that nobody ever gets is made up for at the scan interval.
func TestLostEvents(t *testing.T) {
	p := dir(t)
	w := newFaulty(t)
	r := start(t, Config{NewWatcher: w.make, Settings: Settings{ScanInterval: 50 * time.Millisecond}}, p)
	r.until(p, StateServing)
	drop(t, p, "told")
	queued(t, p, "told")
	w.set(nil, true)
	drop(t, p, "lost")
	queued(t, p, "told", "lost")
	request(t, p, "one")
	reply(t, p, "one")
}

func TestWatchLimit(t *testing.T) {
	for name, limit := range map[string]error{
		"bare":    syscall.ENOSPC,
		"wrapped": &os.PathError{Op: "inotify_add_watch", Path: "x", Err: syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			p := dir(t)
			w := newFaulty(t)
			w.set(limit, false)
			r := start(t, Config{NewWatcher: w.make, Settings: Settings{ScanInterval: 100 * time.Millisecond}}, p)
			if s := r.until(p, StatePolling); !strings.Contains(s.Message, "max_user_watches") {
				t.Errorf("the state says %q", s.Message)
			}
			drop(t, p, "polled")
			queued(t, p, "polled")
			w.set(nil, false)
			r.until(p, StateServing)
			drop(t, p, "watched")
			queued(t, p, "polled", "watched")
			if n := strings.Count(r.log.String(), "max_user_watches"); n != 1 {
				t.Errorf("the limit was logged %d times", n)
			}
		})
	}
}

// Without a scan, polling itself must find the drops and the deletions.
func TestPolling(t *testing.T) {
	t.Parallel() // it waits long
	p := dir(t)
	w := newFaulty(t)
	w.set(syscall.ENOSPC, false)
	r := start(t, Config{NewWatcher: w.make}, p)
	r.until(p, StatePolling)
	drop(t, p, "a")
	queued(t, p, "a")
	// The fold may still be at its last file.
	eventually(t, "it is removed", func() bool { return os.RemoveAll(inSpool(p)) == nil })
	r.until(p, StateMissing)
	drop(t, p, "b")
	queued(t, p, "b")
	r.until(p, StatePolling)
}

func TestNoWatcher(t *testing.T) {
	p := dir(t)
	var mu sync.Mutex
	full := true
	w := newFaulty(t)
	r := start(t, Config{Settings: Settings{ScanInterval: 100 * time.Millisecond}, NewWatcher: func() (watch.Watcher, error) {
		mu.Lock()
		defer mu.Unlock()
		if full {
			return nil, os.NewSyscallError("inotify_init", syscall.EMFILE)
		}
		return w, nil
	}}, p)
	if s := r.until(p, StatePolling); !strings.Contains(s.Message, "max_user_instances") {
		t.Errorf("the state says %q", s.Message)
	}
	drop(t, p, "polled")
	queued(t, p, "polled")
	mu.Lock()
	full = false
	mu.Unlock()
	r.until(p, StateServing)
}

// What is not ours to read must not wake anybody.
func TestWhatMatters(t *testing.T) {
	w := newWorker(&agent{}, "/p")
	w.full.Store(false)
	type wakes struct{ events, requests, full bool }
	nobody, scan, fullScan, request := wakes{}, wakes{events: true}, wakes{events: true, full: true}, wakes{requests: true}
	woken := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	for _, c := range []struct {
		notify watch.Notify
		name   string
		op     fsnotify.Op
		want   wakes
	}{
		{w.dropEvent, "x.json", fsnotify.Create, scan},
		{w.dropEvent, "x.json", fsnotify.Write, scan},
		{w.dropEvent, "x.json", fsnotify.Chmod, scan},
		{w.dropEvent, "x.json", fsnotify.Remove, nobody},
		{w.dropEvent, "x.json", fsnotify.Rename, nobody},
		{w.dropEvent, ".x.json", fsnotify.Create, nobody},
		{w.dropEvent, "x.txt", fsnotify.Create, nobody},
		{w.controlEvent, "x.drain", fsnotify.Create, request},
		{w.controlEvent, "x.drain", fsnotify.Remove, nobody},
		{w.controlEvent, "x.signals", fsnotify.Create, scan},
		{w.controlEvent, "x.signals", fsnotify.Remove, nobody},
		{w.rootEvent, "", 0, fullScan},
		{w.rootEvent, "incoming", fsnotify.Remove, fullScan},
		{w.rootEvent, "agent.lock", fsnotify.Rename, fullScan},
		{w.rootEvent, "distill-pending.queue", fsnotify.Write, nobody},
		{w.rootEvent, "queue.redo", fsnotify.Create, nobody},
		{w.rootEvent, "agent.lock", fsnotify.Write, nobody},
	} {
		c.notify(c.name, c.op)
		if got := (wakes{woken(w.events), woken(w.requests), w.full.Swap(false)}); got != c.want {
			t.Errorf("%s of %s wakes %+v, not %+v", c.op, c.name, got, c.want)
		}
	}
}

// Two projects wait for the same directory; one of them coming must not blind
// the other.
func TestSharedWatch(t *testing.T) {
	top := dir(t)
	a, b := filepath.Join(top, "a"), filepath.Join(top, "b")
	r := start(t, Config{}, a, b)
	r.until(a, StateMissing)
	r.until(b, StateMissing)
	for _, p := range []string{a, b} {
		must(t, os.Mkdir(p, 0o700))
		drop(t, p, "x")
		queued(t, p, "x")
	}
}

// Where no events tell, a scan sees that a directory is missing.
func TestPollingHealsDeletedDirectories(t *testing.T) {
	for _, name := range []string{"tmp", "incoming", "work", "control", "rejected"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := dir(t)
			w := newFaulty(t)
			w.set(syscall.ENOSPC, false)
			r := start(t, Config{NewWatcher: w.make}, p)
			r.until(p, StatePolling)
			must(t, os.RemoveAll(inSpool(p, name)))
			eventually(t, "it is there again", func() bool { return exists(inSpool(p, name)) })
		})
	}
}
