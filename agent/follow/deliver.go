package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// touchInterval is the longest time between two touches of a reply that is
// being handed over, so that it is not taken for unclaimed.
const touchInterval = 10 * time.Second

// serve hands over all that there is: what dead followers have left, and this
// one could not hand over before, goes first.
func (f *follower) serve(ctx context.Context) error {
	if err := f.takeOver(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		waits, err := f.waits()
		if err != nil || !waits {
			f.empty = 0
			return err
		}
		id := f.lease.nextID()
		if err := f.cfg.Drain(ctx, f.queue, id); err != nil {
			return err
		}
		signals, err := f.handOver(ctx, id)
		if f.empty++; err != nil || !signals {
			return err
		}
		f.empty = 0
	}
	return nil
}

// waits reports whether a drain would bring anything, as far as can be told
// without reading it.
func (f *follower) waits() (bool, error) {
	n, err := f.sp.CountDrops()
	if err != nil {
		return false, fmt.Errorf("counting drops: %w", err)
	}
	if n > 0 {
		return true, nil
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
	names, err := followers(f.sp)
	if err != nil {
		return fmt.Errorf("listing followers: %w", err)
	}
	for _, name := range names {
		if name == f.lease.follower {
			err = f.inherit(ctx, f.lease)
		} else if dead, terr := tryLease(f.sp, name); dead != nil {
			err = errors.Join(f.inherit(ctx, dead), dead.release(f.sp))
		} else {
			err = terr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inherit hands over the replies of a follower. One that is dead may have left a
// drain under way.
func (f *follower) inherit(ctx context.Context, of *lease) (err error) {
	if of != f.lease {
		locking, cancel := context.WithTimeout(ctx, lockPatience)
		defer cancel()
		err = f.queue.Recover(locking)
	}
	var replies []spoolfiles.ControlFile
	if err == nil {
		replies, err = of.replies(f.sp)
	}
	if err != nil {
		return fmt.Errorf("taking over from another follower: %w", err)
	}
	for _, r := range replies {
		if _, err := f.handOver(ctx, r.ID); err != nil {
			return err
		}
	}
	return nil
}

// handOver delivers a reply and acknowledges it. It reports whether there was
// anything in it.
func (f *follower) handOver(ctx context.Context, id string) (signals bool, err error) {
	b, err := openBatch(f.sp, id, f.cfg.IDs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, errUnfit):
		// What signals it has return to the queue, and the rest is set aside.
		f.report(fmt.Errorf("%s in control goes back: %w", id+spoolfiles.ReplySuffix, err))
		return false, f.giveBack(ctx, id, lockPatience)
	case err != nil:
		return false, fmt.Errorf("opening a reply: %w", err)
	}
	defer b.Signals.Close()
	if b.Count > 0 {
		signals = true
		stop := f.keepAlive(id)
		err = f.cfg.Deliver(ctx, b)
		stop()
		if err != nil && f.cfg.IDs {
			f.report(stays(b.Count))
		} else if err != nil {
			if rerr := f.giveBack(context.WithoutCancel(ctx), id, time.Second); rerr != nil {
				err = fmt.Errorf("%w; the signals cannot be given back now, so the next follower gets them, or they return to the queue after reply_ttl: %w", err, rerr)
			}
		}
		if err != nil {
			return true, &deliveryError{err}
		}
	}
	switch err := f.sp.Control.Remove(id + spoolfiles.ReplySuffix); {
	case errors.Is(err, fs.ErrNotExist) && !f.sp.Stale():
		f.report(errors.New("signals were handed over, but had gone back into the queue meanwhile, so they come again"))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		// To go on would be to hand them over again and again.
		return signals, &deliveryError{fmt.Errorf("signals were handed over, but come again, for they cannot be acknowledged: %w", err)}
	}
	return signals, nil
}

// stays says what becomes of a batch that was not delivered, but keeps its ids.
func stays(signals int) error {
	what := fmt.Sprintf("%d signals stay", signals)
	if signals == 1 {
		what = "1 signal stays"
	}
	return errors.New(what + " for the next follower; without one they return to the queue after reply_ttl")
}

// giveBack returns a reply to the queue.
func (f *follower) giveBack(ctx context.Context, id string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := f.queue.Return(ctx, id)
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
