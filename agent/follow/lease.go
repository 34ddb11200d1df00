package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"spoolagent/internal/filelock"
	"spoolagent/spoolfiles"
)

// A follower has a name of its own, F, and locks control/.follow-F.lock for as
// long as it follows. All its requests and replies are called follow-F-N. So
// what belongs to a lock that is free was left by a follower that is dead, and
// whoever gets the lock may take it over, under the ids that it has.
const (
	batchPrefix = "follow-"
	leasePrefix = ".follow-"
	leaseSuffix = ".lock"
)

// lease is the hold on the requests and replies of one follower, in one spool.
type lease struct {
	sp       *spoolfiles.Spool
	follower string
	lock     *flock.Flock
	batches  int // that were asked for
}

// newLease begins to follow a spool.
func newLease(sp *spoolfiles.Spool) (*lease, error) {
	for {
		l := &lease{sp: sp, follower: spoolfiles.NewID()}
		f, err := sp.Control.Create(l.file())
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("beginning to follow: %w", err)
		}
		// Another follower may have come between and cleared it away.
		if got, err := tryLease(sp, l.follower); got != nil || err != nil {
			return got, err
		}
	}
}

// tryLease takes over from a dead follower. It returns nothing at all if that
// one lives, or somebody else has taken over.
func tryLease(sp *spoolfiles.Spool, follower string) (*lease, error) {
	l := &lease{sp: sp, follower: follower}
	info, err := sp.Control.Lstat(l.file())
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode.IsRegular() || !info.Ours()) {
		return nil, nil // no follower locks anything but a plain file
	}
	if err != nil {
		return nil, err
	}
	l.lock, err = filelock.Try(filepath.Join(sp.Control.Path(), l.file()))
	if l.lock == nil {
		return nil, err
	}
	return l, nil
}

func (l *lease) file() string { return leasePrefix + l.follower + leaseSuffix }

// nextID is the id of the next batch.
func (l *lease) nextID() string {
	l.batches++
	return l.prefix() + strconv.Itoa(l.batches)
}

func (l *lease) prefix() string { return batchPrefix + l.follower + "-" }

// belonging are the files of this follower among those of control.
func (l *lease) belonging(files []spoolfiles.ControlFile) (mine []spoolfiles.ControlFile) {
	for _, f := range files {
		if strings.HasPrefix(f.ID, l.prefix()) {
			mine = append(mine, f)
		}
	}
	return mine
}

// release gives the lease up. If anything is left that belongs to it, the next
// follower takes it over.
func (l *lease) release() error {
	c, err := l.sp.ScanControl()
	if err != nil || len(l.belonging(c.Requests))+len(l.belonging(c.Replies)) > 0 {
		return errors.Join(err, l.lock.Unlock())
	}
	// Before the lock is free, so that nobody takes over what is finished;
	// where an open file cannot be removed, after it.
	if l.sp.Control.Remove(l.file()) == nil {
		return l.lock.Unlock()
	}
	if err := l.lock.Unlock(); err != nil {
		return err
	}
	if err := l.sp.Control.Remove(l.file()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// followers lists who follows the spool or has died over it, the oldest first.
func followers(sp *spoolfiles.Spool) (names []string, err error) {
	entries, err := sp.Control.List()
	for _, entry := range entries {
		name, isLease := strings.CutPrefix(entry, leasePrefix)
		if name, ok := strings.CutSuffix(name, leaseSuffix); ok && isLease && spoolfiles.ValidID(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // a name begins with the time
	return names, err
}
