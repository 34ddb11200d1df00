package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"

	"spoolagent/internal/filelock"
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

// locked locks the queue for change, making it if it is missing, recovers what
// a crash has interrupted, and calls do.
func (q *Queue) locked(ctx context.Context, do func(*held) error) (err error) {
	h, err := q.open(ctx, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	if err := q.recover(h); err != nil {
		return fmt.Errorf("recovering an interrupted change: %w", err)
	}
	return do(h)
}

// open opens the queue and locks it: shared if flag is os.O_RDONLY. The error
// wraps fs.ErrNotExist if there is no queue and flag does not make one.
func (q *Queue) open(ctx context.Context, flag int) (*held, error) {
	for ctx.Err() == nil {
		// The opening for writing can change the file's mode, so it is examined
		// before, too.
		if _, err := q.stat(); gone(err) != nil {
			return nil, err
		}
		f, err := q.sp.Root.OpenFile(FileName, flag)
		if err != nil {
			return nil, fmt.Errorf("opening queue: %w", err)
		}
		lock, err := q.lock(ctx, flag)
		if err == nil {
			h := &held{lock: lock, f: f}
			h.info, err = q.stat()
			opened, oerr := f.Stat()
			there, terr := os.Lstat(q.path(FileName))
			err = errors.Join(err, oerr, terr)
			if err == nil && os.SameFile(opened, there) && filelock.Valid(lock) {
				return h, nil
			}
			err = errors.Join(err, lock.Unlock())
		}
		// The file may have been removed or replaced between its opening and
		// its locking.
		if err = errors.Join(err, f.Close()); gone(err) != nil {
			return nil, err
		}
		if q.sp.Stale() {
			return nil, fmt.Errorf("opening queue: spool %s has been moved or replaced", q.sp.Root.Path())
		}
	}
	return nil, context.Cause(ctx)
}

// lockName is the file that is locked: the queue itself, but on Windows, where a
// locked file cannot be read.
func lockName() string {
	if runtime.GOOS == "windows" {
		return "distill-pending.lock"
	}
	return FileName
}

// lock waits for the lock in the kernel's own line, since a program that only
// tries now and then starves beside programs that wait. A wait that ctx ends
// is left to a goroutine that passes the lock on at once.
func (q *Queue) lock(ctx context.Context, flag int) (*flock.Flock, error) {
	shared := flag == os.O_RDONLY
	flag &^= os.O_CREATE
	if lockName() != FileName {
		flag = os.O_RDWR | os.O_CREATE
	}
	lock := flock.New(q.path(lockName()), flock.SetFlag(flag|spoolfiles.OpenSafely), flock.SetPermissions(0o600))
	try, wait := lock.TryLock, lock.Lock
	if shared {
		try, wait = lock.TryRLock, lock.RLock
	}
	ok, err := try()
	if err == nil && !ok {
		done := make(chan error, 1)
		go func() { done <- wait() }()
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
	if err != nil {
		return nil, fmt.Errorf("locking queue: %w", err)
	}
	return lock, nil
}

// maxQueueSize keeps a hostile queue, say a sparse file, from occupying us for
// hours.
const maxQueueSize = 16 << 30

// stat describes the queue's file. The error says why it must not be written in
// place; that it is a regular file of this user, its opening makes sure.
func (q *Queue) stat() (spoolfiles.Info, error) {
	info, err := q.sp.Root.Lstat(FileName)
	switch {
	case err != nil || !info.Mode.IsRegular():
	case info.Links > 1:
		err = fmt.Errorf("queue %s has %d hard links, so a change would also change another file; replace it by a copy", q.path(FileName), info.Links)
	case info.Size > maxQueueSize:
		err = fmt.Errorf("queue %s has %d bytes, more than the limit of %d; drain it by another program, or move it away", q.path(FileName), info.Size, int64(maxQueueSize))
	}
	return info, err
}

// refresh takes note of the queue's size after a change.
func (q *Queue) refresh(h *held) (err error) {
	h.info, err = q.sp.Root.Lstat(FileName)
	return err
}

// path is for messages, and for opening a file whose identity is checked then.
func (q *Queue) path(name string) string { return filepath.Join(q.sp.Root.Path(), name) }
