package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"

	"spoolagent/agent/watch"
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
	// coarse is more than the times of any file system are apart: FAT's are 2 s.
	coarse = 3 * time.Second

	// movedPause is how long a spool that was deleted or moved is left alone: to
	// make a directory anew at once would make the rm that is at work fail.
	movedPause = 250 * time.Millisecond
	// retryMin is the pause after a first error; it doubles up to the scan
	// interval. An event ends it early, but not before retryMin.
	retryMin = 100 * time.Millisecond

	// After a fold, drops are left to gather for foldPauses times as long as it
	// took, but for maxFoldPause at most: under a flood the processors belong to
	// the hooks.
	foldPauses   = 8
	maxFoldPause = 10 * time.Millisecond
)

var (
	// errMoved says that what was served is no longer what is at the path.
	errMoved = errors.New("the spool has been deleted, moved or replaced")
	// errTime says that a scan has taken scanTime.
	errTime = errors.New("the scan has not come to its end")
)

// worker serves one project. It keeps nothing between scans but its lock, its
// watches, and the shape of its queue.
type worker struct {
	agent   *agent
	project string
	log     zerolog.Logger

	// These have one slot each: something came that can be folded, there is a
	// request, and a full scan is due.
	drops, requests, ticks chan struct{}

	stop context.CancelFunc

	// What follows belongs to the goroutine of run, and during a scan to the scan.
	made       bool        // there was a spool: none is made again
	serving    bool        // the lock is held
	watched    bool        // all directories are
	unwatched  error       // why they are not; then the project is polled
	waiting    bool        // for a queue's lock that another program holds
	folded     bool        // in the last scan
	replyAt    time.Time   // a reply falls due
	freshUntil time.Time   // a drop that does not parse ceases to be fresh
	shape      queue.Shape // of the queue, as it was last
	stamp      stamp       // at the last poll
	stampedAt  time.Time

	polled   bool          // the next scan is a poll
	took     time.Duration // the last scan
	pause    time.Duration // until events count
	next     time.Time     // of the scans that no event asks for
	failures int           // in a row
}

func newWorker(a *agent, project string) *worker {
	return &worker{
		agent:    a,
		project:  project,
		log:      a.cfg.Log.With().Str("project", quote.Text(project)).Logger(),
		drops:    make(chan struct{}, 1),
		requests: make(chan struct{}, 1),
		ticks:    make(chan struct{}, 1),
	}
}

// run serves the project until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.release()
	for full := true; ctx.Err() == nil; full = w.wait(ctx) {
		now := time.Now()
		if !full && w.unchanged(now) {
			w.next = w.nextPoll(now)
			continue
		}
		err := w.attempt(ctx, full)
		if ctx.Err() == nil {
			w.schedule(err)
		}
	}
}

// attempt makes a scan, on a goroutine of its own: a file system that does not
// answer then does not keep it from being shown, and the stack that a scan needs
// is not kept by a worker that waits, which it does nearly always.
func (w *worker) attempt(ctx context.Context, full bool) error {
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
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- w.scan(ctx, full) }()
	check := time.NewTicker(patience)
	defer check.Stop()
	for {
		select {
		case err := <-done:
			w.took = time.Since(began)
			return err
		case <-check.C:
		}
		switch {
		case !w.waiting:
			w.report(StateError, fmt.Sprintf("the file system has not answered for %v", patience))
		case !w.agent.locks.valid(w.project, w.project):
			cancel(errMoved)
		}
	}
}

// scan brings everything up to date. With full it also makes sure of what is
// otherwise taken on trust.
func (w *worker) scan(ctx context.Context, full bool) error {
	w.folded = false
	sp, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		sp.Close()
		if w.serving && w.agent.locks.n.Load() > w.agent.maxLocks {
			w.unlock() // there are too few open files to keep the lock until the next scan
		}
	}()
	q := queue.New(sp, w.agent.settings.Load().Options, &w.shape)
	if full || !w.watched && w.unwatched == nil {
		w.watch(ctx, q)
	}
	err = w.serve(ctx, sp, q, full)
	if err != nil && sp.Stale() {
		w.release()
		return errMoved
	}
	return err
}

// open opens the spool, and takes its lock unless that is held.
func (w *worker) open(ctx context.Context) (*spoolfiles.Spool, error) {
	open := spoolfiles.Open
	switch {
	case !w.made:
		open = spoolfiles.Create
	case w.serving:
		// It makes nothing, and so is not in the way of who is about to delete all.
		open = spoolfiles.OpenExisting
	}
	sp, err := open(w.project)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if w.serving {
			err = errMoved
		}
		w.release()
		return nil, err
	case err != nil:
		return nil, err
	case !w.serving:
		w.made = true
		err = w.agent.locks.acquire(ctx, sp, w.agent.self)
		w.serving = err == nil
	case sp.Stale() || !w.agent.locks.valid(w.project, w.project):
		err = errMoved
		w.release()
	}
	if err != nil {
		sp.Close()
	}
	return sp, err
}

// release lets go of the project.
func (w *worker) release() {
	for _, dir := range w.dirs() {
		w.agent.watches.Remove(dir)
	}
	w.unlock()
	w.watched, w.unwatched = false, nil
	w.replyAt, w.freshUntil = time.Time{}, time.Time{}
}

func (w *worker) unlock() {
	w.serving = false
	w.agent.locks.release(w.project)
}

// dirs are the directories that are watched: the spool, incoming and control.
func (w *worker) dirs() [3]string {
	root := filepath.Join(w.project, spoolfiles.DirName)
	return [...]string{root, filepath.Join(root, "incoming"), filepath.Join(root, "control")}
}

// watch has the spool, which has just been opened, watched, or else polled.
func (w *worker) watch(ctx context.Context, q *queue.Queue) {
	if !w.watched {
		// What waits is folded before there is a watch, for each of its drops
		// would raise an event. Errors come again.
		_ = w.fold(ctx, q)
	}
	dirs := w.dirs()
	var err error
	for i, notify := range [...]watch.Notify{w.rootEvent, w.dropEvent, w.requestEvent} {
		if err == nil {
			err = w.agent.watches.Add(dirs[i], notify)
		}
	}
	w.watched, w.unwatched = err == nil, nil
	if err != nil {
		for _, dir := range dirs {
			w.agent.watches.Remove(dir)
		}
		w.unwatched = fmt.Errorf("polled every %v, for %w", pollInterval, err)
	}
}

// rootEvent: a directory, or the lock, is no longer what it was. Writes are the
// queue's.
func (w *worker) rootEvent(name string, op fsnotify.Op) {
	switch name {
	case "", "tmp", "incoming", "work", "control", "rejected", lockName():
		if name == "" || op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 {
			wake(w.ticks)
		}
	}
}

// dropEvent: a drop came, or one that did not parse was written to or made
// readable. Removals are our own.
func (w *worker) dropEvent(name string, op fsnotify.Op) {
	if op&(fsnotify.Create|fsnotify.Write|fsnotify.Chmod) != 0 && spoolfiles.IsDropName(name) {
		wake(w.drops)
	}
}

func (w *worker) requestEvent(name string, op fsnotify.Op) {
	if op&fsnotify.Create != 0 && strings.HasSuffix(name, spoolfiles.RequestSuffix) {
		wake(w.requests)
	}
}

// schedule notes what came of a scan, and when the next one is due unasked.
func (w *worker) schedule(err error) {
	now := time.Now()
	w.waiting, w.polled, w.pause, w.next = errors.Is(err, queue.ErrLocked), false, 0, w.due()
	switch {
	case err == nil && w.watched:
		w.report(StateServing, "")
		if w.folded {
			w.pause = min(foldPauses*w.took, maxFoldPause)
		}
	case err == nil:
		w.report(StatePolling, quote.Error(w.unwatched))
		w.polled, w.next = true, w.nextPoll(now)
	case !w.serving && errors.Is(err, fs.ErrNotExist):
		w.report(StateMissing, ExplainMissing(w.project))
		w.polled, w.next = true, w.nextPoll(now)
	case errors.Is(err, errMoved):
		w.pause, w.next = movedPause, now
	case errors.Is(err, errTime):
		w.next = now
		if w.waiting {
			w.report(StateError, "waiting: "+quote.Error(err))
		}
	default:
		w.fail(err)
		w.pause, w.next = retryMin, now.Add(min(retryMin<<min(w.failures, 16), w.agent.scanInterval()))
		w.failures++
		return
	}
	w.failures = 0
}

// fail shows what keeps the project from being served.
func (w *worker) fail(err error) {
	var held *HeldError
	switch {
	case !errors.As(err, &held):
		w.report(StateError, quote.Error(err))
	case held.SameAs != "":
		w.agent.status.set(ProjectState{Path: w.project, State: StateStopped, SameAs: held.SameAs})
	default:
		w.report(StateHeld, quote.Error(held))
		wake(w.agent.changed)
	}
}

// wait returns when there is reason for a scan, and whether for a full one.
func (w *worker) wait(ctx context.Context) (full bool) {
	if w.pause > 0 {
		select {
		case <-ctx.Done():
		case <-w.requests:
			return false
		case <-time.After(w.pause):
		}
	}
	var next <-chan time.Time
	if !w.next.IsZero() {
		t := time.NewTimer(time.Until(w.next))
		defer t.Stop()
		next = t.C
	}
	select {
	case <-ctx.Done():
	case <-w.drops:
	case <-w.requests:
	case <-w.ticks:
		return true
	case <-next:
	}
	return false
}

// nextPoll is the same moment for all projects, or earlier if something falls
// due: to wake up once for thousands of them costs little more than for one.
func (w *worker) nextPoll(now time.Time) time.Time {
	began := w.agent.began
	return earlier(w.due(), began.Add(now.Sub(began).Truncate(pollInterval)+pollInterval))
}

// due is when something falls due that no event tells.
func (w *worker) due() time.Time { return earlier(w.replyAt, w.freshUntil) }

// earlier returns the earlier of two times, of which either may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// stamp shows at little cost whether a poll needs a scan: whatever comes into a
// directory, or leaves it, changes the directory.
type stamp [3]int64 // modification times of the spool, incoming and control

// unchanged reports whether a poll needs no scan: nothing has changed since the
// last one, nor for so long before it that a change could hide behind a time
// that was the same already. It makes it possible to poll thousands of projects.
//
// Where another machine makes the changes, a stamp may be a minute old; only the
// opening of the directory, as in a scan, makes sure.
func (w *worker) unchanged(now time.Time) bool {
	due := w.due()
	if !w.polled || !w.made || errors.Is(w.unwatched, watch.ErrForeign) || !due.IsZero() && !now.Before(due) {
		return false
	}
	var s stamp
	for i, dir := range w.dirs() {
		info, err := os.Lstat(dir)
		if err != nil {
			break
		}
		s[i] = info.ModTime().UnixNano()
	}
	if s != w.stamp {
		w.stamp, w.stampedAt = s, now
	}
	return now.Sub(w.stampedAt) > coarse
}

// report notes the project's state, and logs it if it is news.
func (w *worker) report(s State, why string) {
	if !w.agent.status.set(ProjectState{Path: w.project, State: s, Error: why}) {
		return
	}
	level := zerolog.WarnLevel
	switch s {
	case StateServing:
		level = zerolog.InfoLevel
	case StateError:
		level = zerolog.ErrorLevel
	}
	w.log.WithLevel(level).Str("state", string(s)).Msg(cmp.Or(why, string(s)))
}

// ExplainMissing says what there is not of a project.
func ExplainMissing(project string) string {
	if info, err := os.Stat(project); err == nil && info.IsDir() {
		return "the project has no .spool; it is served again as soon as one is made (the next hook does)"
	}
	return "the project's directory does not exist"
}

// outOfFiles reports whether an operation lacked an open file, as may pass.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
