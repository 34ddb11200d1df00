package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"

	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// touchInterval is the longest time between two touches of a reply that is
// being handed over, so that it is not taken for unclaimed.
const touchInterval = 10 * time.Second

// leavePatience is how long the queue's lock is waited for on leaving.
const leavePatience = time.Second

// FollowConfig says what Follow is to do. The functions are called by one
// goroutine at a time.
type FollowConfig struct {
	Project      string        // a directory, absolute
	Options      queue.Options // for when no agent serves the project
	ScanInterval time.Duration // 0 means DefaultScanInterval

	// Drain obtains a reply with this id, from an agent or without one. If it
	// returns an error nothing was taken.
	Drain func(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue, id string) error

	// Deliver hands a batch over, which is acknowledged once it returns nil. An
	// error ends Follow, which returns it as it is. The batch's file is closed
	// when Deliver returns.
	Deliver func(context.Context, Batch) error

	// IDs: each signal has an id that tells repeats. A batch that was not
	// delivered, though it may have been in part, then stays a reply, so that
	// the next follower delivers it under the same ids; if none comes, it is
	// returned as any unclaimed reply. Without ids it is given back at once.
	IDs bool

	// Report is told what goes wrong and is tried again, each problem once.
	Report func(error)

	newWatcher func() (Watcher, error) // nil means fsnotify's
}

// Follow hands over the signals of a project as they come, until ctx ends. It
// waits where there is no spool, goes on when it is deleted and made again, and
// needs no agent. Of several followers each signal goes to one.
func Follow(ctx context.Context, cfg FollowConfig) error {
	if !filepath.IsAbs(cfg.Project) {
		return fmt.Errorf("project %s: not an absolute path", quote(cfg.Project))
	}
	if cfg.ScanInterval <= 0 {
		cfg.ScanInterval = DefaultScanInterval
	}
	if cfg.newWatcher == nil {
		cfg.newWatcher = newFSWatcher
	}
	f := &follower{
		cfg:         cfg,
		table:       newWatchTable(cfg.newWatcher, zerolog.Nop()),
		queueEvents: newSubscriber(),
		dropEvents:  newSubscriber(),
		delivered:   map[string]bool{},
	}
	f.table.subscribe(f.queueEvents)
	f.table.subscribe(f.dropEvents)
	err := f.run(ctx)
	if cerr := errors.Join(f.shut(), f.table.close()); cerr != nil {
		return errors.Join(err, cerr)
	}
	return err
}

// follower is the state of Follow. Like a worker it is told nothing but "look
// again", and the directory is the truth.
type follower struct {
	cfg   FollowConfig
	table *watchTable

	// Two, for they mean different things: a drop that cannot be folded stays
	// in incoming, and is no reason to drain again when our own drain has
	// changed the queue's file.
	queueEvents, dropEvents *subscriber

	sp    *spoolfiles.Spool // nil while there is none to open
	queue *queue.Queue
	lease *lease

	unwatched error     // why there is no watch; then the spool is polled
	drops     bool      // incoming has not been looked at since something came
	lookAt    time.Time // a drop that does not parse ceases to be fresh
	retryAt   time.Time // when to look unasked
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
	for scan := true; ctx.Err() == nil; scan = f.wait(ctx) {
		err := f.look(ctx, scan)
		var final *deliveryError
		if errors.As(err, &final) {
			return final.error
		}
		if ctx.Err() == nil {
			f.judge(err)
		}
	}
	return nil
}

// judge notes what came of a look, and when to look again unasked.
func (f *follower) judge(err error) {
	f.retryAt, f.holdOff = time.Time{}, false
	switch {
	case err == nil && f.empty > 3:
		// Somebody else is quicker, or there is something in the queue that no
		// drain takes away.
		f.pause(min(time.Millisecond<<min(f.empty, 10), retryMin))
	case errors.Is(err, errMoved):
		f.pause(settle)
	case err == nil || f.sp == nil && errors.Is(err, fs.ErrNotExist):
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

// wait returns when there is reason to look, and whether that is the scan.
func (f *follower) wait(ctx context.Context) (scan bool) {
	scanning := time.NewTimer(f.cfg.ScanInterval)
	defer scanning.Stop()
	var alarm <-chan time.Time
	at := f.retryAt
	if !f.holdOff {
		at = earlier(at, f.lookAt)
	}
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		alarm = timer.C
	}
	queueEvents, dropEvents := f.queueEvents.dirty, f.dropEvents.dirty
	if f.holdOff {
		queueEvents, dropEvents = nil, nil
	}
	select {
	case <-ctx.Done():
	case <-queueEvents:
	case <-dropEvents:
		f.drops = true
	case <-alarm:
		f.drops = f.drops || f.unwatched != nil || f.failures > 0
	case <-scanning.C:
		return true
	}
	return false
}

// look brings everything up to date: what a dead follower has left goes first,
// then what is there.
func (f *follower) look(ctx context.Context, scan bool) error {
	if f.sp != nil && f.sp.Stale() {
		return errors.Join(errMoved, f.shut())
	}
	if scan {
		f.table.revive()
	}
	if f.sp == nil {
		if err := f.open(); err != nil {
			return err
		}
		scan = true
	}
	if scan || f.unwatched != nil || !f.table.watching(f.queueEvents, 1) || !f.table.watching(f.dropEvents, 1) {
		if err := f.watchSpool(); err != nil {
			return err
		}
	}
	err := f.serve(ctx, scan)
	if err != nil && ctx.Err() == nil && f.sp.Stale() {
		var final *deliveryError
		if !errors.As(err, &final) {
			return errors.Join(errMoved, f.shut())
		}
	}
	return err
}

// open opens the spool. Where that fails, it has watched what must change for
// it to succeed.
func (f *follower) open() error {
	// As in worker.open: what has happened in a directory until it was watched
	// no event will tell.
	for range 32 {
		err := f.tryOpen()
		if err == nil {
			return nil
		}
		var added bool
		if added, f.unwatched = f.table.setWay(f.queueEvents, f.cfg.Project); !added {
			return err
		}
	}
	return errMoved
}

func (f *follower) tryOpen() error {
	sp, err := spoolfiles.Open(f.cfg.Project)
	if err != nil {
		return err
	}
	l, err := newLease(sp)
	if err != nil {
		return errors.Join(err, sp.Close())
	}
	f.sp, f.lease, f.queue = sp, l, queue.New(sp, f.cfg.Options)
	return nil
}

// shut lets go of the spool, if it is open.
func (f *follower) shut() error {
	if f.sp == nil {
		return nil
	}
	err := f.lease.release()
	if f.sp.Stale() {
		err = nil // it went with the rest
	}
	err = errors.Join(err, f.sp.Close())
	f.sp, f.lease, f.queue = nil, nil, nil
	f.lookAt = time.Time{}
	clear(f.delivered)
	return err
}

func (f *follower) watchSpool() error {
	root := filepath.Join(f.cfg.Project, spoolfiles.DirName)
	err := eventless(root)
	if err == nil {
		_, err = f.table.set(f.queueEvents, []want{{root, queueMatters}})
	}
	if err == nil {
		_, err = f.table.set(f.dropEvents, []want{{filepath.Join(root, "incoming"), dropMatters}})
	}
	f.unwatched = nil
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.Join(errMoved, f.shut())
	case err != nil:
		f.unwatched = fmt.Errorf("looking every %v, for %w", pollInterval, explainWatch(err))
	}
	if f.sp.Stale() {
		return errors.Join(errMoved, f.shut())
	}
	return nil
}

// queueMatters: the queue was written to, or something is no longer what it was.
func queueMatters(name string, op fsnotify.Op) bool {
	if name == queue.FileName {
		return op&(fsnotify.Create|fsnotify.Write) != 0
	}
	return rootMatters(name, op) && name != lockName
}

// serve hands over all that there is.
func (f *follower) serve(ctx context.Context, scan bool) error {
	f.drops = f.drops || scan
	if err := f.takeOver(ctx); err != nil {
		return err
	}
	if scan {
		// What an agent would do, if there were one.
		if _, served, err := Serving(f.sp); err == nil && !served {
			if err := f.sweep(ctx); err != nil {
				return err
			}
		}
	}
	for ctx.Err() == nil {
		something, err := f.something()
		if err != nil || !something {
			return err
		}
		id := f.lease.nextID()
		if err := f.cfg.Drain(ctx, f.sp, f.queue, id); err != nil {
			f.drops = true
			return err
		}
		signals, err := f.handOver(ctx, id, false)
		if err != nil {
			return err
		}
		if f.empty++; !signals {
			return nil // an event will tell when there is something
		}
		f.empty = 0
	}
	return nil
}

// something reports whether a drain would bring anything.
func (f *follower) something() (bool, error) {
	select {
	case <-f.dropEvents.dirty:
		f.drops = true
	default:
	}
	told, due := f.drops, !f.lookAt.IsZero() && !f.lookAt.After(time.Now())
	if told || due {
		f.drops, f.lookAt = false, time.Time{}
		n, err := f.sp.CountDrops()
		if err != nil {
			return false, fmt.Errorf("looking for drops: %w", err)
		}
		if told && n > 0 {
			// One that does not parse yet has to be looked at once more.
			f.lookAt = time.Now().Add(queue.Grace + 10*time.Millisecond)
		}
		if n > 0 {
			return true, nil
		}
	}
	info, err := f.sp.Root.Lstat(queue.FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Size > 0, err
}

// takeOver hands over what this follower could not before, and what dead ones
// have left.
func (f *follower) takeOver(ctx context.Context) error {
	if err := f.handOverAll(ctx, f.lease); err != nil {
		return err
	}
	names, err := followers(f.sp)
	if err != nil {
		return fmt.Errorf("looking for other followers: %w", err)
	}
	for _, name := range names {
		if name == f.lease.follower {
			continue
		}
		dead, err := tryLease(f.sp, name)
		if err != nil {
			return err
		}
		if dead == nil {
			continue
		}
		if err := f.bury(ctx, dead); err != nil {
			return errors.Join(err, dead.release())
		}
		if err := dead.release(); err != nil {
			return err
		}
	}
	return nil
}

// bury withdraws the requests of a dead follower and hands over its replies.
func (f *follower) bury(ctx context.Context, dead *lease) error {
	c, err := f.sp.ScanControl()
	if err != nil {
		return fmt.Errorf("looking for requests: %w", err)
	}
	for _, r := range dead.belonging(c.Requests) {
		if err := f.sp.Control.Remove(r.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("withdrawing a dead follower's request: %w", err)
		}
	}
	// An answer on its way is there afterwards.
	if err := f.settle(ctx); err != nil {
		return err
	}
	return f.handOverAll(ctx, dead)
}

func (f *follower) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := f.queue.Sweep(ctx, time.Now())
	return err
}

func (f *follower) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f.queue.Settle(ctx)
}

// handOverAll hands over all replies that are there of a follower.
func (f *follower) handOverAll(ctx context.Context, of *lease) error {
	c, err := f.sp.ScanControl()
	if err != nil {
		return fmt.Errorf("looking for replies: %w", err)
	}
	for _, r := range of.belonging(c.Replies) {
		if _, err := f.handOver(ctx, r.ID, true); err != nil {
			return err
		}
	}
	return nil
}

// handOver delivers a reply and acknowledges it. It reports whether there was
// anything in it. A strange reply, which may be anybody's, is looked at first.
func (f *follower) handOver(ctx context.Context, id string, strange bool) (signals bool, err error) {
	name := id + spoolfiles.ReplySuffix
	if !f.delivered[id] {
		info, err := f.sp.Control.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if signals = info.Size > 0; signals {
			err := f.deliver(ctx, id, strange)
			if errors.Is(err, errUnfit) {
				return false, f.refuse(ctx, id, err)
			}
			if err != nil {
				return true, err
			}
		}
		f.delivered[id] = true
	}
	err = f.sp.Control.Remove(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return signals, fmt.Errorf("acknowledging: %w", err)
	}
	delete(f.delivered, id)
	if err != nil && !f.sp.Stale() {
		f.report(errors.New("signals were handed over, but had gone back into the queue meanwhile, so they come again"))
	}
	return signals, nil
}

// deliver delivers a batch.
func (f *follower) deliver(ctx context.Context, id string, strange bool) error {
	b, err := openBatch(f.sp, id, f.cfg.IDs, strange)
	if err != nil {
		return fmt.Errorf("opening a reply: %w", err)
	}
	defer b.Signals.Close()
	stop := f.keepAlive(id)
	err = f.cfg.Deliver(ctx, b)
	stop()
	if err == nil {
		return nil
	}
	if lerr := f.leave(ctx, id); lerr != nil {
		err = fmt.Errorf("%w; %w", err, lerr)
	}
	return &deliveryError{err}
}

// refuse gives back what is no reply: what signals it has return to the queue,
// and the rest is set aside.
func (f *follower) refuse(ctx context.Context, id string, why error) error {
	f.report(fmt.Errorf("%s in control goes back: %w", id+spoolfiles.ReplySuffix, why))
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := f.queue.GiveBack(ctx, id)
	return err
}

// keepAlive sees to it that a reply counts as claimed, until stop.
func (f *follower) keepAlive(id string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(max(min(f.cfg.Options.ReplyTTL/4, touchInterval), time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				// If it has gone, that shows when it is acknowledged.
				f.sp.Control.Touch(id + spoolfiles.ReplySuffix)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// leave sees to a batch that was not delivered.
func (f *follower) leave(ctx context.Context, id string) error {
	if f.cfg.IDs {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	if _, err := f.queue.GiveBack(ctx, id); err != nil {
		return fmt.Errorf("the signals cannot be given back now, so the next follower gets them, or they return to the queue after reply_ttl: %w", err)
	}
	return nil
}
