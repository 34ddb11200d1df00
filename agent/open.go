package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"spoolagent/agent/watch"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// open opens the project's spool and takes its lock. Where that fails, it has
// watched what must change for it to succeed.
func (w *worker) open(ctx context.Context) error {
	// Each round is due to a directory that was not watched before: what has
	// happened in it until then no event will tell.
	for range 32 {
		err := w.tryOpen(ctx)
		var held *HeldError
		var twin *twinError
		if err == nil || ctx.Err() != nil || errors.As(err, &twin) || errors.As(err, &held) {
			return err
		}
		if !w.watchWay() {
			return err
		}
	}
	return errMoved // somebody is busy here
}

func (w *worker) tryOpen(ctx context.Context) error {
	open := spoolfiles.Open
	if w.fresh {
		open = spoolfiles.Create
	}
	sp, err := open(w.project)
	if err != nil {
		return err
	}
	if err := w.agent.claims.claim(w); err != nil {
		return errors.Join(err, sp.Close())
	}
	lock, err := lockProject(ctx, sp, w.agent.self)
	if err != nil {
		w.agent.claims.release(w)
		return errors.Join(err, sp.Close())
	}
	w.sp, w.lock, w.options = sp, lock, w.agent.options()
	w.queue = queue.New(sp, w.options)
	return nil
}

// resume reports whether what is served is still what is at the path. A spool
// that was let go is opened again for that.
func (w *worker) resume() bool {
	if w.sp != nil {
		return !w.sp.Stale() && w.lock.valid(w.sp)
	}
	// It makes nothing, and so is not in the way of who is about to delete all.
	sp, err := spoolfiles.Look(w.project)
	if err != nil {
		return false // what is wrong will show when it is opened anew
	}
	w.sp, w.queue = sp, queue.New(sp, w.options)
	for _, dir := range []*spoolfiles.Dir{sp.Tmp, sp.Incoming, sp.Control, sp.Rejected} {
		if dir == nil {
			return false
		}
	}
	return w.lock.valid(sp)
}

// rest lets go of the spool, but not of its lock, until there is reason for
// another look; unless there are descriptors enough to keep it open.
func (w *worker) rest() {
	if w.sp == nil || w.keeps {
		return
	}
	select {
	case w.agent.keeps <- struct{}{}:
		w.keeps = true
	default:
		if err := w.sp.Close(); err != nil {
			w.log.Debug().Err(err).Msg("letting go of the spool")
		}
		w.sp, w.queue = nil, nil
	}
}

// shut lets go of the spool, if it is served, and of every watch.
func (w *worker) shut() {
	if _, err := w.agent.table.set(w.watch, nil); err != nil {
		w.unwatched = err
	}
	if w.lock == nil {
		return
	}
	err := w.lock.release()
	if w.sp != nil {
		err = errors.Join(err, w.sp.Close())
	}
	if err != nil {
		w.log.Debug().Err(err).Msg("letting go of the spool")
	}
	if w.keeps {
		<-w.agent.keeps
		w.keeps = false
	}
	w.sp, w.lock, w.queue = nil, nil, nil
	w.agent.claims.release(w)
	w.lookAt, w.dueAt, w.tidiedAt = time.Time{}, time.Time{}, time.Time{}
}

// wanted are the directories that are watched while the spool is open.
func (w *worker) wanted() []want {
	root := filepath.Join(w.project, spoolfiles.DirName)
	return []want{
		{root, rootMatters},
		{filepath.Join(root, "incoming"), dropMatters},
		{filepath.Join(root, "control"), requestMatters},
	}
}

// rootMatters: one of the directories was removed, renamed or replaced. Their
// own watches do not tell, for we hold them open. Writes are the queue's.
func rootMatters(name string, op fsnotify.Op) bool {
	if op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) == 0 {
		return false
	}
	switch name {
	case "tmp", "incoming", "control", "rejected", lockName:
		return true
	}
	return false
}

// dropMatters: a drop came, or one that did not parse was written to or made
// readable. Removals are our own.
func dropMatters(name string, op fsnotify.Op) bool {
	return op&(fsnotify.Create|fsnotify.Write|fsnotify.Chmod) != 0 && spoolfiles.IsDropName(name)
}

func requestMatters(name string, op fsnotify.Op) bool {
	return op&fsnotify.Create != 0 && strings.HasSuffix(name, spoolfiles.RequestSuffix)
}

// watchSpool has the open spool watched, or else polled.
func (w *worker) watchSpool() error {
	err := eventless(w.project)
	w.foreign = err != nil
	if err == nil {
		_, err = w.agent.table.set(w.watch, w.wanted())
	} else {
		w.agent.table.set(w.watch, nil)
	}
	switch {
	case err == nil:
		w.unwatched = nil
	case errors.Is(err, fs.ErrNotExist):
		w.shut()
		return errMoved
	default:
		w.unwatched = fmt.Errorf("polled every %v, for %w", pollInterval, watch.Explain(err))
	}
	// The watches are on what the paths lead to, and that must be what is open.
	if w.sp.Stale() {
		w.shut()
		return errMoved
	}
	return nil
}

// watchWay watches the way to a spool that cannot be opened. It reports whether
// anything is watched now that was not before.
func (w *worker) watchWay() (added bool) {
	added, w.unwatched = w.agent.table.setWay(w.watch, w.project)
	return added
}

// setWay watches, for s, the way to a spool that cannot be opened: the nearest
// directory above it that exists, and .spool itself, for what is wrong may be
// in there. It is like set otherwise.
func (t *watchTable) setWay(s *subscriber, project string) (added bool, err error) {
	root := filepath.Join(project, spoolfiles.DirName)
	var wants []want
	if info, err := os.Lstat(root); err == nil && info.IsDir() {
		wants = append(wants, want{root, rootMatters})
	}
	for path := root; ; {
		dir := filepath.Dir(path)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			if err := eventless(dir); err != nil {
				t.set(s, nil)
				return false, err
			}
			wants = append(wants, want{dir, wayMatters(filepath.Base(path))})
			break
		}
		if dir == path {
			break
		}
		path = dir
	}
	return t.set(s, wants)
}

// wayMatters: the next step of the way appeared, went, or got other permissions.
func wayMatters(next string) matcher {
	return func(name string, op fsnotify.Op) bool {
		return name == next && op&^fsnotify.Write != 0
	}
}

// ExplainMissing says what there is not of a project.
func ExplainMissing(project string) string {
	if info, err := os.Stat(project); err == nil && info.IsDir() {
		return "the project has no .spool; it is served again as soon as one is made (the next hook does)"
	}
	return "the project's directory does not exist"
}
