// Package follow is a consumer that stays: it hands over the signals of a
// project as they come.
//
// A follower works like an agent's worker: events are hints and the directory
// is the truth. It takes what there is through the functions that it is given,
// so it needs no agent. A batch is a reply like any other and stays one until it
// has been handed over; it is touched meanwhile, so that it is not returned.
//
// # Invariants
//
// All requests and replies of a follower bear its name, and the lock on
// control/.follow-NAME.lock says whether it lives. The next follower takes over
// from a dead one, before anything newer and under the same ids. So an id, which
// is the batch's and the line's number, names the same signal for as long as the
// reply exists; only a signal that went back into the queue gets another.
package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"spoolagent/agent"
	"spoolagent/agent/watch"
	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

const (
	// pollInterval is how often a spool is scanned that is not there or cannot
	// be watched.
	pollInterval = time.Second
	// movedPause is how long a spool that was deleted or moved is left alone.
	movedPause = 250 * time.Millisecond
	// retryMin is the pause after a first error; it doubles up to the scan
	// interval.
	retryMin = time.Second
	// lockPatience is how long the queue's lock is waited for.
	lockPatience = 5 * time.Second
)

// errMoved says that what is open is no longer what is at the paths.
var errMoved = errors.New("the spool has been deleted, moved or replaced")

// Config says what Run is to do. The functions are called by one goroutine at a
// time.
type Config struct {
	Project      string        // a directory, absolute
	Options      queue.Options // for when no agent serves the project
	ScanInterval time.Duration // 0 means agent.DefaultScanInterval

	// Drain obtains a reply with this id, from an agent or without one. If it
	// returns an error nothing was taken.
	Drain func(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string) error

	// Deliver hands a batch over, which is acknowledged once it returns nil. An
	// error ends Run, which returns it as it is. The batch's file is closed when
	// Deliver returns.
	Deliver func(context.Context, Batch) error

	// IDs: each signal has an id that tells repeats. A batch that was not
	// delivered, though it may have been in part, then stays a reply, so that
	// the next follower delivers it under the same ids; if none comes, it is
	// returned as any unclaimed reply. Without ids it is given back at once.
	IDs bool

	// Report is told what goes wrong and is tried again, each problem once.
	Report func(error)

	newWatcher func() (watch.Watcher, error) // nil means watch.New
}

// Run hands over the signals of a project as they come, until ctx ends. It
// waits where there is no spool, goes on when it is deleted and made again, and
// needs no agent. Of several followers each signal goes to one.
func Run(ctx context.Context, cfg Config) error {
	if !filepath.IsAbs(cfg.Project) {
		return fmt.Errorf("project %s: not an absolute path", quote.Text(cfg.Project))
	}
	if cfg.ScanInterval <= 0 {
		cfg.ScanInterval = agent.DefaultScanInterval
	}
	if cfg.newWatcher == nil {
		cfg.newWatcher = watch.New
	}
	f := &follower{
		cfg:         cfg,
		table:       watch.NewTable(cfg.newWatcher),
		queueEvents: make(chan struct{}, 1),
		dropEvents:  make(chan struct{}, 1),
		delivered:   map[string]bool{},
	}
	err := f.run(ctx)
	if cerr := errors.Join(f.shut(), f.table.Close()); cerr != nil {
		return errors.Join(err, cerr)
	}
	return err
}

// follower is the state of Run.
type follower struct {
	cfg   Config
	table *watch.Table

	// Two, each with one slot, for they mean different things: a drop that
	// cannot be folded stays in incoming, and is no reason to drain again when
	// our own drain has changed the queue's file.
	queueEvents, dropEvents chan struct{}

	sp    *spoolfiles.Spool // nil while there is none to open
	queue *queue.Queue
	lease *lease

	unwatched error     // why there is no watch; then the spool is polled
	drops     bool      // incoming has not been listed since something came
	scanAt    time.Time // a drop that does not parse ceases to be fresh
	retryAt   time.Time // when to scan unasked
	holdOff   bool      // events do not count until retryAt
	failures  int       // in a row
	empty     int       // answers in a row that had nothing
	reported  string    // the last problem

	// delivered are batches that could not be acknowledged yet.
	delivered map[string]bool
}

// deliveryError is an error of Deliver, which ends everything.
type deliveryError struct{ error }

func (f *follower) run(ctx context.Context) error {
	for full := true; ctx.Err() == nil; full = f.wait(ctx) {
		err := f.scan(ctx, full)
		var final *deliveryError
		if errors.As(err, &final) {
			return final.error
		}
		if ctx.Err() == nil {
			f.schedule(err)
		}
	}
	return nil
}

// schedule notes what came of a scan, and when the next one is due unasked.
func (f *follower) schedule(err error) {
	f.retryAt, f.holdOff = time.Time{}, false
	switch {
	case err == nil && f.empty > 3:
		// Somebody else is quicker, or there is something in the queue that no
		// drain takes away.
		f.pause(min(time.Millisecond<<min(f.empty, 10), retryMin))
	case errors.Is(err, errMoved):
		f.pause(movedPause)
	case f.sp == nil && errors.Is(err, fs.ErrNotExist):
		f.failures = 0
		f.retryAt = time.Now().Add(pollInterval)
	case err == nil:
		f.failures = 0
		if f.unwatched == nil {
			f.reported = ""
			return // an event will tell
		}
		f.retryAt = time.Now().Add(pollInterval)
		f.report(f.unwatched)
	default:
		f.pause(min(retryMin<<min(f.failures, 16), f.cfg.ScanInterval))
		f.failures++
		f.report(err)
	}
}

// pause has events not count for some time.
func (f *follower) pause(d time.Duration) {
	f.retryAt, f.holdOff = time.Now().Add(d), true
}

func (f *follower) report(err error) {
	if text := err.Error(); text != f.reported {
		f.reported = text
		f.cfg.Report(err)
	}
}

// wait returns when there is reason for a scan, and whether that is the scan
// interval.
func (f *follower) wait(ctx context.Context) (full bool) {
	interval := time.NewTimer(f.cfg.ScanInterval)
	defer interval.Stop()
	at := f.retryAt
	if !f.holdOff && !f.scanAt.IsZero() && (at.IsZero() || f.scanAt.Before(at)) {
		at = f.scanAt
	}
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	queueEvents, dropEvents := f.queueEvents, f.dropEvents
	if f.holdOff {
		queueEvents, dropEvents = nil, nil
	}
	select {
	case <-ctx.Done():
	case <-queueEvents:
	case <-dropEvents:
		f.drops = true
	case <-due:
		f.drops = f.drops || f.unwatched != nil || f.failures > 0
	case <-interval.C:
		return true
	}
	return false
}

// scan brings everything up to date: what a dead follower has left goes first,
// then what is there.
func (f *follower) scan(ctx context.Context, full bool) error {
	if f.sp != nil && f.sp.Stale() {
		return errors.Join(errMoved, f.shut())
	}
	if f.sp == nil {
		if err := f.open(); err != nil {
			return err
		}
		full = true
	}
	if full || f.unwatched != nil {
		if err := f.watch(); err != nil {
			return err
		}
	}
	err := f.serve(ctx, full)
	if err != nil && ctx.Err() == nil && f.sp.Stale() {
		var final *deliveryError
		if !errors.As(err, &final) {
			return errors.Join(errMoved, f.shut())
		}
	}
	return err
}

func (f *follower) open() error {
	sp, err := spoolfiles.Open(f.cfg.Project)
	if err != nil {
		return err
	}
	l, err := newLease(sp)
	if err != nil {
		return errors.Join(err, sp.Close())
	}
	f.sp, f.lease, f.queue = sp, l, queue.New(sp, f.cfg.Options, nil)
	return nil
}

// shut closes the spool, if it is open, and ends its watches.
func (f *follower) shut() error {
	if f.sp == nil {
		return nil
	}
	for _, dir := range f.watched() {
		f.table.Remove(dir)
	}
	err := f.lease.release()
	if f.sp.Stale() {
		err = nil // it went with the rest
	}
	err = errors.Join(err, f.sp.Close())
	f.sp, f.lease, f.queue = nil, nil, nil
	f.scanAt = time.Time{}
	clear(f.delivered)
	return err
}

// watched are the directories that are watched: the spool and incoming.
func (f *follower) watched() [2]string {
	root := filepath.Join(f.cfg.Project, spoolfiles.DirName)
	return [2]string{root, filepath.Join(root, "incoming")}
}

// watch has the open spool watched, or else polled.
func (f *follower) watch() error {
	dirs := f.watched()
	err := f.table.Add(dirs[0], f.rootEvent)
	if err == nil {
		err = f.table.Add(dirs[1], f.dropEvent)
	}
	f.unwatched = nil
	if err != nil {
		f.unwatched = fmt.Errorf("scanning every %v, for %w", pollInterval, err)
	}
	// The watches are on what the paths lead to, and that must be what is open.
	if f.sp.Stale() {
		return errors.Join(errMoved, f.shut())
	}
	return nil
}

// rootEvent: the queue was written to, or a directory is no longer what it was.
func (f *follower) rootEvent(name string, op fsnotify.Op) {
	switch name {
	case queue.FileName:
		op &= fsnotify.Create | fsnotify.Write
	case "":
		op = ^fsnotify.Op(0)
	case "tmp", "incoming", "control", "rejected":
		op &= fsnotify.Create | fsnotify.Remove | fsnotify.Rename
	default:
		return
	}
	if op != 0 {
		wake(f.queueEvents)
	}
}

// dropEvent: a drop came, or one that did not parse was written to or made
// readable.
func (f *follower) dropEvent(name string, op fsnotify.Op) {
	if name == "" || op&(fsnotify.Create|fsnotify.Write|fsnotify.Chmod) != 0 && spoolfiles.IsDropName(name) {
		wake(f.dropEvents)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
