package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/gofrs/flock"
	"github.com/rs/zerolog"

	"spoolagent/agent/watch"
	"spoolagent/internal/filelock"
	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

const (
	// patience is how long a file system may take to answer before that is shown.
	patience = 5 * time.Second
	// scanTime is how long a scan may go on before it lets the next one begin.
	scanTime = 4 * time.Second
	// slotTime is how long a scan keeps others waiting at most.
	slotTime = 100 * time.Millisecond

	// pollInterval is how often a project is scanned that is not there or cannot
	// be watched. So long may a drop or a request wait.
	pollInterval = time.Second

	// movedPause is how long a spool that was deleted or moved is left alone: to
	// make a directory anew at once would make the rm that is at work fail.
	movedPause = 250 * time.Millisecond

	// After a scan, drops are left to gather for gatherTimes as long as it took,
	// but for maxGather at most: under a flood the processors belong to the hooks.
	gatherTimes = 8
	maxGather   = 10 * time.Millisecond
)

var (
	// errMoved says that what was served is no longer what is at the path.
	errMoved = errors.New("the spool has been deleted, moved or replaced")
	// errTime says that a scan has taken scanTime.
	errTime = errors.New("the scan has not come to its end")
	// errNotServed is why a project is not watched at first.
	errNotServed = errors.New("it is not served")
)

// worker serves one project. It keeps nothing between scans but its lock, its
// watches, and the shape of its queue.
type worker struct {
	agent   *agent
	project string
	log     zerolog.Logger
	stop    context.CancelFunc
	said    Holder // the state and problem that were logged last; guarded by the agent's mu

	events   chan struct{} // one slot: there is something to do
	requests chan struct{} // one slot: there is a request, which does not wait for a pause to end
	full     atomic.Bool   // the next scan is a full one

	// What follows belongs to the goroutine of run, and during a scan to the scan.
	made      bool          // there was a spool: none is made again
	lock      *flock.Flock  // nil if the project is not served
	unwatched error         // why not all directories are watched; then the project is polled
	waiting   bool          // for a queue's lock that another program holds
	shape     queue.Shape   // of the queue, as it was last
	fullAt    time.Time     // the last full scan
	due       time.Time     // of what no event tells: a reply returns, a drop that does not parse ceases to be fresh
	next      time.Time     // of what no event asks for
	pause     time.Duration // until events count
	signed    Holder        // what the lock's file says
}

func newWorker(a *agent, project string) *worker {
	w := &worker{
		agent:     a,
		project:   project,
		log:       a.cfg.Log.With().Str("project", quote.Text(project)).Logger(),
		events:    make(chan struct{}, 1),
		requests:  make(chan struct{}, 1),
		unwatched: errNotServed,
	}
	w.full.Store(true)
	return w
}

// rescan asks for a full scan.
func (w *worker) rescan() {
	w.full.Store(true)
	wake(w.events)
}

// run serves the project until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.release()
	for ctx.Err() == nil {
		if err := w.attempt(ctx); ctx.Err() == nil {
			w.schedule(err)
			w.wait(ctx)
		}
	}
}

// attempt makes a scan, on a goroutine of its own: a file system that does not
// answer then does not keep it from being shown, and the stack that a scan needs
// is not kept by a worker that waits, which it does nearly always.
func (w *worker) attempt(ctx context.Context) error {
	select {
	case w.agent.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	free := sync.OnceFunc(func() { <-w.agent.slots })
	defer free()
	defer time.AfterFunc(slotTime, free).Stop()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !w.waiting { // else it waits in line, for who only tries now and then may never get the lock
		defer time.AfterFunc(scanTime, func() { cancel(errTime) }).Stop()
	}
	lock, began := w.lock, time.Now()
	done := make(chan error, 1)
	go func() { done <- w.scan(ctx) }()
	for {
		select {
		case err := <-done:
			w.pause = min(gatherTimes*time.Since(began), maxGather)
			return err
		case <-time.After(patience):
		}
		switch {
		case !w.waiting:
			w.report(StateError, fmt.Sprintf("the file system has not answered for %v", patience))
		case lock != nil && !filelock.Valid(lock):
			cancel(errMoved)
		}
	}
}

// dirs are the directories that are watched: the spool, incoming and control.
func (w *worker) dirs() [3]string {
	root := filepath.Join(w.project, spoolfiles.DirName)
	return [...]string{root, filepath.Join(root, "incoming"), filepath.Join(root, "control")}
}

// watch has the spool, which has just been opened, watched, or else polled.
func (w *worker) watch() error {
	dirs := w.dirs()
	w.unwatched = nil
	for i, notify := range [...]watch.Notify{w.rootEvent, w.dropEvent, w.controlEvent} {
		if w.unwatched == nil {
			w.unwatched = w.agent.watches.Add(dirs[i], notify)
		}
	}
	if errors.Is(w.unwatched, fs.ErrNotExist) {
		w.release()
		return errMoved
	}
	return nil
}

// rootEvent: a directory, or the lock, is no longer what it was. Writes are the
// queue's.
func (w *worker) rootEvent(name string, op fsnotify.Op) {
	switch name {
	case "", "tmp", "incoming", "work", "control", "rejected", lockName():
		if name == "" || op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 {
			w.rescan()
		}
	}
}

// dropEvent: a drop came, or one that did not parse was written to or made
// readable. Removals are our own.
func (w *worker) dropEvent(name string, op fsnotify.Op) {
	if op&(fsnotify.Create|fsnotify.Write|fsnotify.Chmod) != 0 && spoolfiles.IsDropName(name) {
		wake(w.events)
	}
}

// controlEvent: a request came, or a reply, which may have to return.
func (w *worker) controlEvent(name string, op fsnotify.Op) {
	switch {
	case op&fsnotify.Create == 0:
	case strings.HasSuffix(name, spoolfiles.RequestSuffix):
		wake(w.requests)
	case strings.HasSuffix(name, spoolfiles.ReplySuffix):
		wake(w.events)
	}
}

// schedule notes what came of a scan, and when the next one is due unasked.
func (w *worker) schedule(err error) {
	now := time.Now()
	w.waiting, w.next = errors.Is(err, queue.ErrLocked), now
	state, problem := StateError, ""
	if err != nil {
		w.full.Store(true)
		problem = quote.Error(err)
	}
	switch {
	case err == nil && w.unwatched == nil:
		state = StateServing
		w.scanAfter(now)
	case err == nil:
		state, problem = StatePolling, fmt.Sprintf("polled every %v, for %s", pollInterval, quote.Error(w.unwatched))
		w.scanAfter(now)
	case w.lock == nil && errors.Is(err, fs.ErrNotExist):
		state = StateMissing
		w.scanAfter(now)
	case errors.Is(err, errMoved):
		w.pause = movedPause
		return
	case w.waiting:
		problem = "waiting: " + problem
	case errors.Is(err, errTime):
		return
	default:
		w.pause = pollInterval // events do not count after an error
		held, ok := errors.AsType[*HeldError](err)
		if !ok {
			break
		}
		state = StateHeld
		if by := held.Holder; by.Is(w.agent.holder("")) && by.Project != w.project {
			state, problem = StateStopped, "the same directory as "+quote.Text(by.Project)
		}
	}
	w.report(state, problem)
	w.sign(state, problem)
}

// scanAfter has the next scan made when something falls due, and at the end of
// the interval. That is the same moment for all projects, since to wake up once for
// thousands of them costs little more than for one.
func (w *worker) scanAfter(now time.Time) {
	interval := pollInterval
	if w.unwatched == nil {
		interval = w.agent.scanInterval()
	}
	w.next = earlier(w.due, now.Add(interval-time.Duration(now.UnixNano())%interval))
}

// wait returns when there is reason for a scan.
func (w *worker) wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-w.requests:
		return
	case <-time.After(w.pause):
	}
	select {
	case <-ctx.Done():
	case <-w.requests:
	case <-w.events:
	case <-time.After(time.Until(w.next)):
	}
}

// earlier returns the earlier of two times, of which either may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// report logs the project's state if it is news.
func (w *worker) report(state State, problem string) {
	said := Holder{State: state, Problem: problem}
	w.agent.mu.Lock()
	news := said != w.said
	w.said = said
	w.agent.mu.Unlock()
	if news {
		level := zerolog.WarnLevel
		switch state {
		case StateServing:
			level = zerolog.InfoLevel
		case StateError:
			level = zerolog.ErrorLevel
		case StateHeld:
			wake(w.agent.changed)
		}
		w.log.WithLevel(level).Str("state", string(state)).Msg(cmp.Or(problem, string(state)))
	}
}

// sign has the lock's file say the state.
func (w *worker) sign(state State, problem string) {
	h := w.agent.holder(w.project)
	h.State, h.Problem = state, problem[:min(len(problem), maxProblem)]
	if w.lock == nil || h == w.signed || !filelock.Valid(w.lock) {
		return
	}
	w.signed = h
	if sp, err := spoolfiles.OpenExisting(w.project); err == nil {
		defer sp.Close()
		_ = sign(sp.Root, h, 0) // else it says what was before
	}
}
