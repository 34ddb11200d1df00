package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"spoolagent/spoolfiles"
)

// held is the queue's file, open and locked.
type held struct {
	lock *flock.Flock
	f    *os.File
	info spoolfiles.Info // when the lock was taken
}

func (h *held) release() error {
	return errors.Join(h.f.Close(), h.lock.Unlock())
}

// acquire locks the queue for change, making it if it is missing, and finishes
// what a crash may have left. It waits in the kernel's own line, since one who
// only tries now and then starves beside programs that wait properly; a wait
// that ctx ends is left to a goroutine that passes the lock on at once.
func (q *Queue) acquire(ctx context.Context) (h *held, recovered bool, err error) {
	h, err = q.open(ctx, os.O_RDWR|os.O_CREATE, true)
	if err != nil {
		return nil, false, err
	}
	held := h
	defer func() {
		if h == nil {
			err = errors.Join(err, held.release())
		}
	}()
	h = nil // also if a recovery panics: the lock must not stay
	recovered, err = q.recover(held)
	if err != nil {
		return nil, false, fmt.Errorf("finishing an interrupted change: %w", err)
	}
	if recovered {
		q.shape = shape{}
		if held.info, err = q.sp.Root.Lstat(FileName); err != nil {
			return nil, true, err
		}
	}
	return held, recovered, nil
}

// acquireShared locks the queue for reading. The error wraps fs.ErrNotExist if
// there is no queue.
func (q *Queue) acquireShared(ctx context.Context) (*held, error) {
	return q.open(ctx, os.O_RDONLY, false)
}

func (q *Queue) open(ctx context.Context, flag int, exclusive bool) (*held, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		// What is there is looked at before it is opened, for the opening of
		// a device can have effects.
		if info, err := q.sp.Root.Lstat(FileName); err == nil {
			if err := checkQueueFile(info); err != nil {
				return nil, fmt.Errorf("queue %s: %w", q.path(FileName), err)
			}
		}
		h, err := q.tryOpen(ctx, flag, exclusive)
		if h != nil || err != nil {
			return h, err
		}
	}
}

// tryOpen returns nothing at all if the file was replaced under its hands.
func (q *Queue) tryOpen(ctx context.Context, flag int, exclusive bool) (*held, error) {
	if err := q.prepareLock(flag); err != nil {
		return nil, fmt.Errorf("opening queue: %w", err)
	}
	lock := flock.New(q.sp.Root.LockPath(lockName), flock.SetFlag(flag|spoolfiles.OpenSafely), flock.SetPermissions(0o600))
	if err := wait(ctx, lock, exclusive); err != nil {
		return nil, q.sp.Root.LockError(lockName, err)
	}
	f, err := q.sp.Root.OpenFile(FileName, flag)
	if err != nil {
		err = errors.Join(err, lock.Unlock())
		if errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0 {
			return nil, nil // deleted between the two openings
		}
		return nil, fmt.Errorf("opening queue: %w", err)
	}
	h := &held{lock: lock, f: f}
	same, err := lockedThis(lock, f)
	if err != nil || !same {
		return nil, errors.Join(err, h.release())
	}
	h.info, err = q.sp.Root.Lstat(FileName)
	if err == nil {
		err = checkQueueFile(h.info)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("queue %s: %w", q.path(FileName), err), h.release())
	}
	return h, nil
}

// maxQueueSize keeps a hostile queue, say a sparse file, from occupying us for
// hours. A signal is seldom above 5 KB.
const maxQueueSize = 1 << 30

// checkQueueFile refuses what must not be written in place.
func checkQueueFile(info spoolfiles.Info) error {
	switch {
	case info.Mode&fs.ModeSymlink != 0:
		return errors.New("is a symbolic link, which is not followed; move it away")
	case !info.Mode.IsRegular():
		return errors.New("is not a regular file; move it away")
	case info.Links > 1:
		return fmt.Errorf("has %d hard links, so a change would also change another file; replace it by a copy", info.Links)
	case info.Size > maxQueueSize:
		return fmt.Errorf("has %d bytes, more than the limit of %d; drain it by another program, or move it away", info.Size, maxQueueSize)
	case !info.Ours():
		return &spoolfiles.OwnerError{UID: info.UID}
	}
	return nil
}

func wait(ctx context.Context, lock *flock.Flock, exclusive bool) error {
	try, block := lock.TryRLock, lock.RLock
	if exclusive {
		try, block = lock.TryLock, lock.Lock
	}
	if ok, err := try(); ok || err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- block() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		go func() {
			if <-done == nil {
				lock.Unlock()
			}
		}()
		return context.Cause(ctx)
	}
}

// path is for messages.
func (q *Queue) path(name string) string { return q.sp.Root.Path() + string(os.PathSeparator) + name }
