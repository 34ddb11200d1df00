package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"spoolagent/agent/watch"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"
)

// watchTable knows which directories are watched, for whom.
//
// A watch is on an inode, not on a path: the watcher goes on reporting under
// the path that it was first given, also when the directory is elsewhere by
// now, and adding it under its new path changes nothing. So the table goes by
// inodes, and keeps every path under which one may be reported.
type watchTable struct {
	make func() (watch.Watcher, error)
	log  zerolog.Logger

	// change admits one change at a time, and is held over calls of the
	// watcher. mu guards what stands below it, and is not: the goroutine that
	// reads the events needs it, and the watcher may need that goroutine.
	change sync.Mutex

	mu          sync.Mutex
	watcher     watch.Watcher // nil while there is none
	down        error         // then: why
	closed      bool
	subscribers map[*subscriber]bool
	byInode     map[inode]*watched
	byPath      map[string]*watched

	pumps sync.WaitGroup
}

// watched is one directory.
type watched struct {
	inode inode
	paths []string
	subs  []subscription
}

type subscription struct {
	to    *subscriber
	match matcher
}

// matcher says whether an event with this name in the directory matters.
type matcher func(name string, op fsnotify.Op) bool

// want is a directory that a subscriber wants to have watched.
type want struct {
	path  string
	match matcher
}

// subscriber is told, by its channel of one slot, that something has happened.
type subscriber struct {
	dirty   chan struct{}
	lenient bool       // is content with those of its directories that can be watched
	dirs    []*watched // guarded by the table's mu
}

func newSubscriber() *subscriber { return &subscriber{dirty: make(chan struct{}, 1)} }

func newLenientSubscriber() *subscriber {
	s := newSubscriber()
	s.lenient = true
	return s
}

func (s *subscriber) poke() {
	select {
	case s.dirty <- struct{}{}:
	default: // it will look anyway
	}
}

func newWatchTable(newWatcher func() (watch.Watcher, error), log zerolog.Logger) *watchTable {
	t := &watchTable{
		make:    newWatcher,
		log:     log,
		byInode: map[inode]*watched{},
		byPath:  map[string]*watched{},

		subscribers: map[*subscriber]bool{},
	}
	t.revive()
	return t
}

// subscribe makes s known for what concerns everyone, until unsubscribe.
func (t *watchTable) subscribe(s *subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscribers[s] = true
}

func (t *watchTable) unsubscribe(s *subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscribers, s)
}

// revive makes a watcher if there is none. It does not wait: if a call of the
// watcher hangs, there is one.
func (t *watchTable) revive() {
	if !t.change.TryLock() {
		return
	}
	defer t.change.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watcher != nil || t.closed {
		return
	}
	t.watcher, t.down = t.make()
	if t.down != nil {
		t.watcher = nil
		return
	}
	w := t.watcher
	t.pumps.Go(func() { t.pump(w) })
}

// close ends the watching, and waits for it to have ended.
func (t *watchTable) close() error {
	t.change.Lock()
	defer t.change.Unlock()
	t.mu.Lock()
	w := t.watcher
	t.watcher, t.closed = nil, true
	t.mu.Unlock()
	var err error
	if w != nil {
		err = w.Close()
	}
	t.pumps.Wait()
	return err
}

// pump reads a watcher until it is closed. The errors must be read whatever
// they are, for the watcher waits until they have been.
func (t *watchTable) pump(w watch.Watcher) {
	events, errs := w.Events(), w.Errors()
	for events != nil || errs != nil {
		select {
		case ev, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			t.event(ev)
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			// Whatever it is, events may have been lost.
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				t.log.Warn().Err(err).Msg("the watcher failed; all projects are looked at")
			} else {
				t.log.Debug().Msg("too many events at once; all projects are looked at")
			}
			t.pokeAll()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watcher != w {
		return
	}
	// Nobody here has closed it.
	t.watcher, t.down = nil, errors.New("the watcher has stopped by itself")
	for _, d := range t.byInode {
		t.forget(d)
	}
}

func (t *watchTable) pokeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.subscribers {
		s.poke()
	}
}

func (t *watchTable) event(ev fsnotify.Event) {
	dir, name := filepath.Split(ev.Name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.byPath[filepath.Clean(dir)]; d != nil {
		for _, s := range d.subs {
			if s.match(name, ev.Op) {
				s.to.poke()
			}
		}
	}
	// A watched directory itself has gone, and the watch with it.
	if ev.Op&(fsnotify.Remove|fsnotify.Rename) != 0 {
		if d := t.byPath[ev.Name]; d != nil {
			t.forget(d)
		}
	}
}

// forget strikes a directory off the table and tells those who wanted it. The
// caller holds mu.
func (t *watchTable) forget(d *watched) {
	delete(t.byInode, d.inode)
	for _, p := range d.paths {
		if t.byPath[p] == d {
			delete(t.byPath, p)
		}
	}
	for _, s := range d.subs {
		s.to.dirs = slices.DeleteFunc(s.to.dirs, func(o *watched) bool { return o == d })
		s.to.poke()
	}
	d.subs = nil
}

// watching reports whether n directories are watched for s.
func (t *watchTable) watching(s *subscriber, n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(s.dirs) == n
}

// set has these directories watched for s, and no others. It reports whether
// any of them was not before: then something may have happened in it unseen.
// After an error, none is watched, unless s is lenient. An error wraps
// fs.ErrNotExist if one of them is not there.
//
// What is watched already is given to the watcher again: it may have lost the
// watch without a word, as it does when a file system is unmounted.
func (t *watchTable) set(s *subscriber, wants []want) (added bool, err error) {
	t.change.Lock()
	defer t.change.Unlock()
	t.mu.Lock()
	w, down := t.watcher, t.down
	t.mu.Unlock()
	if w == nil {
		t.drop(w, s, nil)
		return false, down
	}
	keep := make([]*watched, 0, len(wants))
	for _, want := range wants {
		d, isNew, failure := t.add(w, s, want)
		switch {
		case failure == nil:
			added = added || isNew
			keep = append(keep, d)
		case s.lenient:
			if err == nil || errors.Is(failure, fs.ErrNotExist) {
				err = failure
			}
		default:
			t.drop(w, s, nil)
			return false, failure
		}
	}
	t.drop(w, s, keep)
	return added, err
}

func (t *watchTable) add(w watch.Watcher, s *subscriber, want want) (d *watched, isNew bool, err error) {
	info, err := os.Stat(want.path)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "watch", Path: want.path, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return nil, false, err
	}
	id := inodeOf(want.path, info)

	t.mu.Lock()
	var replaced *watched
	if old := t.byPath[want.path]; old != nil && old.inode != id {
		replaced = old
		t.forget(old)
	}
	d = t.byInode[id]
	if d == nil {
		d = &watched{inode: id}
		t.byInode[id] = d
	}
	if !slices.Contains(d.paths, want.path) {
		d.paths = append(d.paths, want.path)
	}
	t.byPath[want.path] = d
	mine := slices.IndexFunc(d.subs, func(o subscription) bool { return o.to == s })
	if mine >= 0 {
		d.subs[mine].match = want.match
	} else {
		d.subs = append(d.subs, subscription{s, want.match})
		s.dirs = append(s.dirs, d)
	}
	t.mu.Unlock()

	if replaced != nil {
		unwatch(w, replaced)
	}
	// Entered before it is watched, so that no event finds it unknown.
	if err := w.Add(want.path); err != nil {
		return nil, false, &fs.PathError{Op: "watch", Path: want.path, Err: err}
	}
	return d, mine < 0, nil
}

// drop ends what is watched for s, but for keep.
func (t *watchTable) drop(w watch.Watcher, s *subscriber, keep []*watched) {
	var unused []*watched
	t.mu.Lock()
	for _, d := range slices.Clone(s.dirs) {
		if slices.Contains(keep, d) {
			continue
		}
		s.dirs = slices.DeleteFunc(s.dirs, func(o *watched) bool { return o == d })
		d.subs = slices.DeleteFunc(d.subs, func(o subscription) bool { return o.to == s })
		if len(d.subs) == 0 {
			t.forget(d)
			unused = append(unused, d)
		}
	}
	t.mu.Unlock()
	if w == nil {
		return
	}
	for _, d := range unused {
		unwatch(w, d)
	}
}

// unwatch removes a watch. That it is not there any more, or cannot be removed
// because its directory is not, is as good.
func unwatch(w watch.Watcher, d *watched) {
	for _, p := range d.paths {
		w.Remove(p)
	}
}
