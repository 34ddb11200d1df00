package agent

import (
	"os"
	"path/filepath"
	"sync"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// claims has which worker serves which spool, so that a directory that is known
// by several names (links, bind mounts, case) is served once. The lock on the
// spool would see to that as well, but could not tell a second name from a
// second agent.
type claims struct {
	mu      sync.Mutex
	owners  map[inode]*worker
	waiting map[*worker]bool // for a spool that another one serves
}

// claim makes the spool at this project's path w's. If it is another worker's
// already, the error is a *twinError, and w is poked once that one lets go.
func (c *claims) claim(w *worker) error {
	path := filepath.Join(w.project, spoolfiles.DirName)
	info, err := os.Lstat(path)
	if err != nil {
		return nil // the lock will do
	}
	id := inodeOf(path, info)
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner := c.owners[id]; owner != nil && owner != w {
		c.waiting[w] = true
		return &twinError{owner.project}
	}
	c.owners[id] = w
	w.claimed = id
	return nil
}

// twinError says that this agent serves the same directory under another name.
type twinError struct{ project string }

func (e *twinError) Error() string { return "the directory is served as " + quote.Text(e.project) }

func (c *claims) release(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owners[w.claimed] != w {
		return
	}
	delete(c.owners, w.claimed)
	for other := range c.waiting {
		other.watch.poke()
	}
	clear(c.waiting)
}
