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
// All replies of a follower bear its name, and the lock on
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

	"spoolagent/agent/watch"
	"spoolagent/internal/filelock"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

const (
	// pollInterval is how often a spool is scanned that is not there or cannot
	// be watched.
	pollInterval = time.Second
	// retryMin is the pause after a first error, which doubles up to the scan
	// interval, and how long a spool that was deleted or moved is left alone.
	retryMin = 250 * time.Millisecond
	// emptyMin is half of the pause after a first answer that had nothing.
	emptyMin = 5 * time.Millisecond
	// lockPatience is how long the queue's lock is waited for.
	lockPatience = 5 * time.Second
)

// errMoved says that what was opened is no longer what is at the paths.
var errMoved = errors.New("the spool has been deleted, moved or replaced")

// Config says what Run is to do. The functions are called by one goroutine at a
// time.
type Config struct {
	Project      string // a directory, absolute
	Options      queue.Options
	ScanInterval time.Duration

	// Drain takes all signals into a reply with this id. If it returns an error
	// nothing was taken.
	Drain func(ctx context.Context, q *queue.Queue, id string) error

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
	f := &follower{cfg: cfg, table: watch.NewTable(cfg.newWatcher), events: make(chan struct{}, 1)}
	err := f.run(ctx)
	if cerr := errors.Join(f.release(), f.table.Close()); cerr != nil {
		return errors.Join(err, cerr)
	}
	return err
}

// follower is the state of Run.
type follower struct {
	cfg    Config
	table  *watch.Table
	events chan struct{} // has one slot: something has come

	sp    *spoolfiles.Spool // as long as a scan lasts
	queue *queue.Queue      // likewise
	lease *lease            // nil while there is no spool

	unwatched error  // why there is no watch; then the spool is polled
	empty     int    // answers in a row that had nothing
	failures  int    // in a row
	reported  string // the last problem
}

// deliveryError is an error that ends everything.
type deliveryError struct{ error }

func (f *follower) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := f.scan(ctx)
		var final *deliveryError
		if errors.As(err, &final) {
			return final.error
		}
		if ctx.Err() == nil {
			f.wait(ctx, err)
		}
	}
	return nil
}

// wait returns when there is reason for a scan, after one that ended with this
// error. After an error events do not count for a while.
func (f *follower) wait(ctx context.Context, err error) {
	pause, events := pollInterval, f.events
	switch {
	case errors.Is(err, errMoved):
		pause, events = retryMin, nil
	case f.lease == nil && errors.Is(err, fs.ErrNotExist):
	case err != nil:
		pause, events = min(retryMin<<min(f.failures, 16), f.cfg.ScanInterval), nil
		f.failures++
		f.report(err)
	case f.unwatched != nil:
		f.failures = 0
		f.report(fmt.Errorf("scanning every %v, for %w", pollInterval, f.unwatched))
	case f.empty > 0:
		// Somebody else is quicker, or no drain takes what is there; but each
		// raises an event.
		pause, events = min(emptyMin<<min(f.empty, 16), pollInterval), nil
	default:
		f.failures, f.reported = 0, ""
		pause = f.cfg.ScanInterval
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-events:
	case <-timer.C:
	}
}

func (f *follower) report(err error) {
	if text := err.Error(); text != f.reported {
		f.reported = text
		f.cfg.Report(err)
	}
}

// scan hands over all that there is.
func (f *follower) scan(ctx context.Context) error {
	sp, err := spoolfiles.Open(f.cfg.Project)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(err, f.release())
	}
	if err != nil {
		return err
	}
	defer sp.Close()
	f.sp, f.queue = sp, queue.New(sp, f.cfg.Options, nil)
	if f.lease != nil && !filelock.Valid(f.lease.lock) {
		return errors.Join(errMoved, f.release())
	}
	if f.lease == nil {
		if f.lease, err = newLease(sp); err != nil {
			return err
		}
	}
	f.watch()
	err = f.serve(ctx)
	var final *deliveryError
	if sp.Stale() && !errors.As(err, &final) { // the watches may be on what is there now
		return errors.Join(errMoved, f.release())
	}
	return err
}

// release ends the watches and the lease.
func (f *follower) release() error {
	if f.lease == nil {
		return nil
	}
	for _, dir := range f.watched() {
		f.table.Remove(dir)
	}
	l := f.lease
	f.lease = nil
	sp, err := spoolfiles.OpenExisting(f.cfg.Project)
	if err != nil {
		return l.lock.Unlock() // its file is gone, or the next follower's to remove
	}
	defer sp.Close()
	return l.release(sp)
}

// watched are the directories that are watched: the spool and incoming.
func (f *follower) watched() [2]string {
	root := filepath.Join(f.cfg.Project, spoolfiles.DirName)
	return [2]string{root, filepath.Join(root, "incoming")}
}

// watch has the spool, which has just been opened, watched, or else polled.
func (f *follower) watch() {
	dirs := f.watched()
	if f.unwatched = f.table.Add(dirs[0], f.rootEvent); f.unwatched == nil {
		f.unwatched = f.table.Add(dirs[1], f.dropEvent)
	}
}

// rootEvent: the queue was written to, or a directory is no longer what it was.
func (f *follower) rootEvent(name string, op fsnotify.Op) {
	switch name {
	case "":
		wake(f.events)
	case queue.FileName, "tmp", "incoming", "control", "rejected":
		if op != fsnotify.Chmod {
			wake(f.events)
		}
	}
}

// dropEvent: a drop came, or one that did not parse was written to or made
// readable.
func (f *follower) dropEvent(name string, op fsnotify.Op) {
	if name == "" || op&(fsnotify.Create|fsnotify.Write|fsnotify.Chmod) != 0 && spoolfiles.IsDropName(name) {
		wake(f.events)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
