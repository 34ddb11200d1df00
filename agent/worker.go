package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

const (
	// settle is how long a spool that was deleted or moved is left alone: to
	// make a directory anew at once would make the rm that is at work fail.
	settle = 250 * time.Millisecond
	// retryMin is the pause after a first error; it doubles up to the scan
	// interval. An event ends it early, but not before eventPause.
	retryMin   = time.Second
	eventPause = 100 * time.Millisecond
	// tidyInterval is how often a sweep is made though no reply is due.
	tidyInterval = time.Hour
)

// errMoved says that what is open is no longer what is at the paths.
var errMoved = errors.New("the spool has been deleted, moved or replaced")

// worker serves one project.
type worker struct {
	agent   *agent
	project string
	log     zerolog.Logger
	watch   *subscriber   // tells of events
	scanned chan struct{} // one slot; tells of the safety scan

	// What follows belongs to the goroutine of run.
	opened  chan<- error      // nil once it has been told
	endTurn func()            // may be called at any time, from anywhere
	hang    *alarm            // goes off when a look does not get on
	fresh   bool              // a spool may be made, for there never was one
	lock    *projectLock      // while the spool is served
	claimed inode             // likewise
	sp      *spoolfiles.Spool // while it is served, but perhaps not between looks
	queue   *queue.Queue      // of sp
	options queue.Options     // of queue
	keeps   bool              // sp is kept open between looks
	// unwatched says why there is no watch; then the project is polled.
	unwatched error
	foreign   bool // that is because of its file system

	lookAt    time.Time // a drop that does not parse ceases to be fresh
	dueAt     time.Time // a reply falls due
	tidiedAt  time.Time // the last sweep
	retryAt   time.Time // after an error
	notBefore time.Time // events do not count until then
	failures  int       // in a row

	glanced     glance // at a poll
	glancedAt   time.Time
	glancePaths [2]string
}

func newWorker(a *agent, project string) *worker {
	w := &worker{
		agent:   a,
		project: project,
		log:     a.cfg.Log.With().Str("project", quote.Text(project)).Logger(),
		watch:   newSubscriber(),
		scanned: make(chan struct{}, 1),
		endTurn: func() {},
		fresh:   true,
	}
	return w
}

// scan has the worker look, more thoroughly than an event does.
func (w *worker) scan() {
	select {
	case w.scanned <- struct{}{}:
	default:
	}
}

// run serves the project until ctx ends. What came of the first attempt to
// open its spool is sent to opened.
func (w *worker) run(ctx context.Context, opened chan<- error) {
	w.agent.table.subscribe(w.watch)
	defer w.agent.table.unsubscribe(w.watch)
	defer w.shut()
	w.opened = opened
	for scan := true; ctx.Err() == nil; scan = w.wait(ctx) {
		if (scan || w.unwatched != nil) && !w.takeTurn(ctx) {
			return
		}
		err := w.lookApart(ctx, scan)
		w.endTurn()
		if ctx.Err() != nil {
			return
		}
		w.judge(err)
		w.rest()
	}
}

// lookApart is look, on a goroutine of its own: the stack that a look needs is
// then not kept while the worker waits, which is nearly always. With a thousand
// projects it is a quarter of the memory.
func (w *worker) lookApart(ctx context.Context, scan bool) error {
	result := make(chan error)
	go func() {
		w.hang = newAlarm(patience, w.hangs)
		err := w.look(ctx, scan)
		w.hang.stop()
		result <- err
	}()
	return <-result
}

// takeTurn waits until few enough others scan; it reports false if ctx ended.
// All projects at once would cost a thread and a buffer each.
func (w *worker) takeTurn(ctx context.Context) bool {
	select {
	case w.agent.turns <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	w.endTurn = sync.OnceFunc(func() { <-w.agent.turns })
	return true
}

// hangs is called when a look does not get on, as on a file system whose server
// is gone. It must not keep others from scanning, and it should show.
func (w *worker) hangs() {
	w.endTurn()
	w.say(StateError, fmt.Sprintf("the file system has not answered for %v", patience))
}

// look brings everything up to date. With scan it also makes sure of what is
// otherwise taken on trust.
func (w *worker) look(ctx context.Context, scan bool) error {
	if w.lock != nil && !w.resume() {
		w.shut()
		return errMoved
	}
	if w.lock == nil {
		err := w.open(ctx)
		if w.opened != nil {
			w.opened <- err
			w.opened = nil
		}
		if err != nil {
			return err
		}
		scan = true
	}
	if opt := w.agent.options(); opt != w.options {
		w.options, w.queue = opt, queue.New(w.sp, opt)
	}
	if w.fresh {
		// The backlog goes before there is a watch, for the removal of its
		// drops would raise an event each. Errors come again below.
		w.fresh = false
		_ = w.fold(ctx)
	}
	if scan || w.unwatched == nil && !w.agent.table.watching(w.watch, len(w.wanted())) {
		if err := w.watchSpool(); err != nil {
			return err
		}
	}
	err := w.serve(ctx, scan)
	if err != nil && w.sp.Stale() {
		w.shut()
		return errMoved
	}
	return err
}

// judge notes what came of a look, and when to look again unasked.
func (w *worker) judge(err error) {
	now := time.Now()
	w.retryAt, w.notBefore = time.Time{}, time.Time{}
	if err == nil {
		w.failures = 0
		if w.unwatched != nil {
			w.retryAt = nextPoll(now)
			w.say(StatePolling, quote.Error(w.unwatched))
		} else {
			w.say(StateServing, "")
		}
		return
	}
	var held *HeldError
	var twin *twinError
	switch {
	case errors.Is(err, errMoved):
		// What that means will be seen when it is opened again.
		w.retryAt = now.Add(settle)
		w.notBefore = w.retryAt
		w.log.Info().Msg("the spool has changed under us; it is opened anew")
		return
	case errors.As(err, &twin):
		w.agent.board.set(ProjectState{Path: w.project, State: StateStopped, SameAs: twin.project})
		return // until the other name's worker lets go of it, or the next scan
	case errors.As(err, &held):
		w.say(StateHeld, quote.Error(held))
		return // until the next scan
	case w.lock == nil && errors.Is(err, fs.ErrNotExist):
		w.say(StateMissing, ExplainMissing(w.project))
		if w.unwatched == nil {
			return // an event will tell
		}
	default:
		w.say(StateError, quote.Error(err))
	}
	w.notBefore = now.Add(eventPause)
	w.retryAt = now.Add(min(retryMin<<min(w.failures, 16), w.agent.scanInterval()))
	w.failures++
}

// wait returns when there is reason to look, and whether that is the scan.
func (w *worker) wait(ctx context.Context) (scan bool) {
	if pause := time.Until(w.notBefore); pause > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
	var timer *time.Timer
	for {
		var alarm <-chan time.Time
		if at := w.nextAlarm(); !at.IsZero() {
			if timer == nil {
				timer = time.NewTimer(time.Until(at))
			} else {
				timer.Reset(time.Until(at))
			}
			alarm = timer.C
		}
		select {
		case <-ctx.Done():
		case <-w.watch.dirty:
		case now := <-alarm:
			if w.unchanged(now) {
				w.retryAt = nextPoll(now)
				continue
			}
		case <-w.scanned:
			return true
		}
		return false
	}
}

func (w *worker) nextAlarm() time.Time {
	at := w.retryAt
	if w.failures == 0 && w.lock != nil {
		at = earlier(at, earlier(w.lookAt, w.dueAt))
	}
	return at
}

// earlier returns the earlier of two times, of which either may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// say notes the project's state, and logs it if it is news.
func (w *worker) say(s State, why string) {
	if !w.agent.board.set(ProjectState{Path: w.project, State: s, Error: why}) {
		return
	}
	switch s {
	case StateServing:
		w.log.Info().Msg("serving")
	case StateError:
		w.log.Error().Str("state", string(s)).Msg(why)
	default:
		w.log.Warn().Str("state", string(s)).Msg(why)
	}
}
