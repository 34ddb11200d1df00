package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"spoolagent/spoolfiles"
)

// A follower has a name of its own, F, and locks control/.follow-F.lock for as
// long as it follows. All its requests and replies are called follow-F-N. So
// what belongs to a lock that is free was left by a follower that is dead, and
// whoever gets the lock may take it over, under the ids that it has.
const (
	batchPrefix = "follow-"
	claimPrefix = ".follow-"
	claimSuffix = ".lock"
)

// claim is the hold on the requests and replies of one follower, in one spool.
type claim struct {
	sp       *spoolfiles.Spool
	follower string
	lock     *flock.Flock
	batches  int // that were asked for
}

// newClaim begins to follow a spool.
func newClaim(sp *spoolfiles.Spool) (*claim, error) {
	for {
		c := &claim{sp: sp, follower: spoolfiles.NewID()}
		f, err := sp.Control.Create(c.file())
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("beginning to follow: %w", err)
		}
		// Another follower may have come between and cleared it away.
		if got, err := tryClaim(sp, c.follower); got != nil || err != nil {
			return got, err
		}
	}
}

// tryClaim takes over from a dead follower. It returns nothing at all if that
// one lives, or somebody else has taken over.
func tryClaim(sp *spoolfiles.Spool, follower string) (*claim, error) {
	c := &claim{sp: sp, follower: follower}
	info, err := sp.Control.Lstat(c.file())
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode.IsRegular() || !info.Ours()) {
		return nil, nil // no follower locks anything but a plain file
	}
	if err != nil {
		return nil, err
	}
	c.lock = flock.New(sp.Control.LockPath(c.file()), flock.SetFlag(os.O_RDWR|spoolfiles.OpenSafely))
	ok, err := c.lock.TryLock()
	if errors.Is(err, fs.ErrNotExist) || err == nil && !ok {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", c.file(), err)
	}
	current, err := c.current()
	if err != nil || !current {
		return nil, errors.Join(err, c.lock.Unlock())
	}
	return c, nil
}

// current reports whether the locked file is the one at the path.
func (c *claim) current() (bool, error) {
	f, err := c.sp.Control.OpenFile(c.file(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return lockedThis(c.lock, f)
}

func (c *claim) file() string { return claimPrefix + c.follower + claimSuffix }

// nextID is the id of the next batch.
func (c *claim) nextID() string {
	c.batches++
	return c.prefix() + strconv.Itoa(c.batches)
}

func (c *claim) prefix() string { return batchPrefix + c.follower + "-" }

// belonging are the files of this follower among those of control.
func (c *claim) belonging(files []spoolfiles.ControlFile) (mine []spoolfiles.ControlFile) {
	for _, f := range files {
		if strings.HasPrefix(f.ID, c.prefix()) {
			mine = append(mine, f)
		}
	}
	return mine
}

// release gives the claim up. With keep, the next follower takes it over.
func (c *claim) release(keep bool) error {
	if keep {
		return c.lock.Unlock()
	}
	// Before the lock is free, so that nobody takes over what is finished;
	// where an open file cannot be removed, after it.
	if c.sp.Control.Remove(c.file()) == nil {
		return c.lock.Unlock()
	}
	if err := c.lock.Unlock(); err != nil {
		return err
	}
	if err := c.sp.Control.Remove(c.file()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// followers lists who follows the spool or has died over it, the oldest first.
func followers(sp *spoolfiles.Spool) (names []string, err error) {
	err = sp.Control.Each(func(raw []byte, _ uint64) error {
		name, isClaim := strings.CutPrefix(string(raw), claimPrefix)
		if name, ok := strings.CutSuffix(name, claimSuffix); ok && isClaim && spoolfiles.ValidID(name) {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names) // a name begins with the time
	return names, err
}
