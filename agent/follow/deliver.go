package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"spoolagent/agent"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// touchInterval is the longest time between two touches of a reply that is
// being handed over, so that it is not taken for unclaimed.
const touchInterval = 10 * time.Second

// leavePatience is how long the queue's lock is waited for on leaving.
const leavePatience = time.Second

// serve hands over all that there is.
func (f *follower) serve(ctx context.Context, full bool) error {
	f.drops = f.drops || full
	if err := f.takeOver(ctx); err != nil {
		return err
	}
	if full {
		// What an agent would do, if there were one.
		if _, served, err := agent.Serving(f.sp); err == nil && !served {
			if err := f.sweep(ctx); err != nil {
				return err
			}
		}
	}
	for ctx.Err() == nil {
		waits, err := f.waits()
		if err != nil || !waits {
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

// waits reports whether a drain would bring anything.
func (f *follower) waits() (bool, error) {
	select {
	case <-f.dropEvents:
		f.drops = true
	default:
	}
	told, due := f.drops, !f.scanAt.IsZero() && !f.scanAt.After(time.Now())
	if told || due {
		f.drops, f.scanAt = false, time.Time{}
		n, err := f.sp.CountDrops()
		if err != nil {
			return false, fmt.Errorf("counting drops: %w", err)
		}
		if told && n > 0 {
			// One that does not parse yet has to be read once more.
			f.scanAt = time.Now().Add(queue.Grace + 10*time.Millisecond)
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
		return fmt.Errorf("listing other followers: %w", err)
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
		if err := f.inherit(ctx, dead); err != nil {
			return errors.Join(err, dead.release())
		}
		if err := dead.release(); err != nil {
			return err
		}
	}
	return nil
}

// inherit withdraws the requests of a dead follower and hands over its replies.
func (f *follower) inherit(ctx context.Context, dead *lease) error {
	c, err := f.sp.ScanControl()
	if err != nil {
		return fmt.Errorf("listing requests: %w", err)
	}
	for _, r := range dead.belonging(c.Requests) {
		if err := f.sp.Control.Remove(r.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("withdrawing a dead follower's request: %w", err)
		}
	}
	// An answer on its way is there afterwards.
	if err := f.recover(ctx); err != nil {
		return err
	}
	return f.handOverAll(ctx, dead)
}

func (f *follower) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	_, err := f.queue.Sweep(ctx, time.Now())
	return err
}

func (f *follower) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	return f.queue.Recover(ctx)
}

// handOverAll hands over all replies that are there of a follower.
func (f *follower) handOverAll(ctx context.Context, of *lease) error {
	c, err := f.sp.ScanControl()
	if err != nil {
		return fmt.Errorf("listing replies: %w", err)
	}
	for _, r := range of.belonging(c.Replies) {
		if _, err := f.handOver(ctx, r.ID, true); err != nil {
			return err
		}
	}
	return nil
}

// handOver delivers a reply and acknowledges it. It reports whether there was
// anything in it. A strange reply, which may be anybody's, is checked first.
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
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
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

// leave sees to a batch that was not delivered.
func (f *follower) leave(ctx context.Context, id string) error {
	if f.cfg.IDs {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	if _, err := f.queue.Return(ctx, id); err != nil {
		return fmt.Errorf("the signals cannot be given back now, so the next follower gets them, or they return to the queue after reply_ttl: %w", err)
	}
	return nil
}
