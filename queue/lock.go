package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"spoolagent/spoolfiles"
)

// ErrLocked says that another program held the queue's lock until the caller's
// context ended.
var ErrLocked = errors.New("another program holds the lock of " + FileName)

// held is the queue's file, open and locked, with what the records say of it.
type held struct {
	lock *flock.Flock
	f    *os.File
	info spoolfiles.Info // when the lock was taken, or after the last change

	last   *record // the newest transaction; nil in a new spool
	ledger Ledger  // after it

	// unfinished: a transaction has begun and could not be completed. The next
	// holder of the lock recovers it.
	unfinished bool
}

func (h *held) release() error {
	return errors.Join(h.f.Close(), h.lock.Unlock())
}

// acquire locks the queue for change, making it if it is missing, and recovers
// what a crash has interrupted.
func (q *Queue) acquire(ctx context.Context) (h *held, recovered bool, err error) {
	h, err = q.open(ctx, os.O_RDWR|os.O_CREATE, true)
	if err != nil {
		return nil, false, err
	}
	done := false
	defer func() { // also if a recovery panics: the lock must not stay
		if !done {
			err = errors.Join(err, h.release())
			h = nil
		}
	}()
	recovered, err = q.recover(h)
	if err != nil {
		return h, false, fmt.Errorf("recovering an interrupted change: %w", err)
	}
	done = true
	return h, recovered, nil
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
		// The entry is examined before it is opened, for the opening of a
		// device can have effects.
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

// tryOpen returns nothing at all if the file was replaced between its opening
// and its locking.
func (q *Queue) tryOpen(ctx context.Context, flag int, exclusive bool) (*held, error) {
	f, err := q.sp.Root.OpenFile(FileName, flag)
	if err != nil {
		return nil, fmt.Errorf("opening queue: %w", err)
	}
	lock, err := q.lock(ctx, flag, exclusive)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if lock == nil {
		return nil, f.Close()
	}
	h := &held{lock: lock, f: f}
	info, err := q.sp.Root.Lstat(FileName)
	if err == nil {
		err = checkQueueFile(info)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, h.release()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("queue %s: %w", q.path(FileName), err), h.release())
	}
	same, err := lockedThis(q.path(FileName), lock, f)
	if err != nil || !same {
		return nil, errors.Join(err, h.release())
	}
	h.info = info
	return h, nil
}

// lock waits for the lock in the kernel's own line, since a program that only
// tries now and then starves beside programs that wait. A wait that ctx ends
// is left to a goroutine that passes the lock on at once. It returns nothing
// at all if the file has been removed.
func (q *Queue) lock(ctx context.Context, flag int, exclusive bool) (*flock.Flock, error) {
	path, err := q.lockPath(flag)
	if err != nil {
		return nil, err
	}
	lock := flock.New(path, flock.SetFlag(flag&^os.O_CREATE|spoolfiles.OpenSafely))
	try, block := lock.TryRLock, lock.RLock
	if exclusive {
		try, block = lock.TryLock, lock.Lock
	}
	ok, err := try()
	if err == nil && !ok {
		done := make(chan error, 1)
		go func() { done <- block() }()
		select {
		case err = <-done:
		case <-ctx.Done():
			go func() {
				if <-done == nil {
					lock.Unlock()
				}
			}()
			return nil, fmt.Errorf("%w: %w", ErrLocked, context.Cause(ctx))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("locking queue: %w", err)
	}
	return lock, nil
}

// maxQueueSize keeps a hostile queue, say a sparse file, from occupying us for
// hours.
const maxQueueSize = 16 << 30

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
		return fmt.Errorf("has %d bytes, more than the limit of %d; drain it by another program, or move it away", info.Size, int64(maxQueueSize))
	case !info.Ours():
		return &spoolfiles.OwnerError{UID: info.UID}
	}
	return nil
}

// refresh takes note of the queue's size after a change.
func (q *Queue) refresh(h *held) error {
	info, err := q.sp.Root.Lstat(FileName)
	if err != nil {
		return err
	}
	h.info = info
	return nil
}

// path is for messages, and for opening a file whose identity is checked then.
func (q *Queue) path(name string) string { return filepath.Join(q.sp.Root.Path(), name) }
