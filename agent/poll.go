package agent

import (
	"path/filepath"
	"time"

	"spoolagent/spoolfiles"
)

// pollInterval is how often a project is looked at that cannot be watched. So
// long may a drop or a request wait.
const pollInterval = time.Second

// coarse is more than the times of any file system are apart: FAT's are 2 s.
const coarse = 3 * time.Second

// glance is what shows at little cost whether there is reason for a look:
// whatever comes into a directory, or leaves it, changes the directory. It is of
// incoming and control; the rest can wait for the safety scan.
type glance [2]struct {
	inode   inode
	changed int64 // nanoseconds since 1970
}

// nextPoll is the same moment for all projects: to wake up once for thousands
// of them costs little more than for one.
func nextPoll(now time.Time) time.Time { return now.Truncate(pollInterval).Add(pollInterval) }

// unchanged reports whether a poll can be left at a glance: when nothing has
// changed since the last one, nor for so long before it that a change could
// hide behind a time that was the same already. It is what makes it possible to
// poll five thousand projects: a look at each would take half a processor.
//
// Where another machine makes the changes, a glance may be shown what was true
// a minute ago; only to open the directory, as a look does, makes sure.
func (w *worker) unchanged(now time.Time) bool {
	if w.lock == nil || w.unwatched == nil || w.failures > 0 || w.foreign {
		return false
	}
	if at := earlier(w.lookAt, w.dueAt); !at.IsZero() && !now.Before(at) {
		return false
	}
	g, err := w.glance()
	if err != nil || g != w.glanced {
		w.glanced, w.glancedAt = g, now
		return false
	}
	return now.Sub(w.glancedAt) > coarse
}

func (w *worker) glance() (g glance, err error) {
	if w.glancedAt.IsZero() {
		root := filepath.Join(w.project, spoolfiles.DirName)
		w.glancePaths = [2]string{filepath.Join(root, "incoming"), filepath.Join(root, "control")}
	}
	for i, path := range w.glancePaths {
		if g[i].inode, g[i].changed, err = lastChange(path); err != nil {
			return glance{}, err
		}
	}
	return g, nil
}
