package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"spoolagent/internal/filelock"
	"spoolagent/spoolfiles"
)

// A follower has a name of its own, F, and locks control/.follow-F.lock for as
// long as it follows. All its replies are called follow-F-N. So
// what belongs to a lock that is free was left by a follower that is dead, and
// whoever gets the lock may take it over, under the ids that it has.
const (
	batchPrefix = "follow-"
	leasePrefix = ".follow-"
	leaseSuffix = ".lock"
)

// lease is the hold on the replies of one follower, in one spool.
type lease struct {
	follower string
	lock     *flock.Flock
	batches  int // that were asked for
}

// newLease begins to follow a spool.
func newLease(sp *spoolfiles.Spool) (*lease, error) {
	for {
		name := spoolfiles.NewID()
		f, err := sp.Control.OpenFile(leasePrefix+name+leaseSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("beginning to follow: %w", err)
		}
		// Another follower may have come between and cleared it away.
		if got, err := tryLease(sp, name); got != nil || err != nil {
			return got, err
		}
	}
}

// tryLease takes over from a dead follower. It returns nothing at all if that
// one lives, or somebody else has taken over.
func tryLease(sp *spoolfiles.Spool, follower string) (*lease, error) {
	file := leasePrefix + follower + leaseSuffix
	info, err := sp.Control.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode.IsRegular() || !info.Ours()) {
		return nil, nil // no follower locks anything but a plain file
	}
	if err != nil {
		return nil, err
	}
	lock, err := filelock.Try(filepath.Join(sp.Control.Path(), file), 0, 0)
	if lock == nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	return &lease{follower: follower, lock: lock}, nil
}

// nextID is the id of the next batch.
func (l *lease) nextID() string {
	l.batches++
	return l.prefix() + strconv.Itoa(l.batches)
}

func (l *lease) prefix() string { return batchPrefix + l.follower + "-" }

// replies are those of this follower.
func (l *lease) replies(sp *spoolfiles.Spool) ([]spoolfiles.ControlFile, error) {
	c, err := sp.ScanControl()
	foreign := func(f spoolfiles.ControlFile) bool { return !strings.HasPrefix(f.ID, l.prefix()) }
	return slices.DeleteFunc(c.Replies, foreign), err
}

// release gives the lease up. If anything is left that belongs to it, the next
// follower takes it over.
func (l *lease) release(sp *spoolfiles.Spool) error {
	replies, err := l.replies(sp)
	err = errors.Join(err, l.lock.Unlock())
	if err != nil || len(replies) > 0 {
		return err
	}
	err = sp.Control.Remove(leasePrefix + l.follower + leaseSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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
