// Package watch tells of changes in directories.
//
// A Table knows directories by their paths, and has one function for each. An
// event is a hint: it may be lost, late or doubled, so whoever gets one reads
// the directory. If events were lost, or the directory itself has gone, the
// function is called with an empty name.
//
// # Invariants
//
// The functions are called one at a time, by the goroutines that read the
// watcher. These neither wait for anybody nor call the watcher, which may be
// waiting for them.
//
// fsnotify holds its lock while the kernel resolves the path of a new watch. On
// a file system that does not answer that is for ever, and no event would be
// delivered any more. So a directory is only added right after it was opened or
// looked at, and none is added whose file system Foreign names.
package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// Watcher is what fsnotify offers, as an interface, so that another can take
// its place. Add and Remove may be called from any goroutine but those that
// read Events and Errors. Adding what is watched already does no harm. Both
// channels are closed when the watcher is.
type Watcher interface {
	Add(dir string) error
	Remove(dir string) error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
	Close() error
}

// eventBuffer is how many events may wait to be read from fsnotify. Our own
// removal of a batch of drops raises one for each.
const eventBuffer = 1024

type fsWatcher struct{ *fsnotify.Watcher }

// New returns fsnotify's watcher.
func New() (Watcher, error) {
	w, err := fsnotify.NewBufferedWatcher(eventBuffer)
	return fsWatcher{w}, err
}

func (w fsWatcher) Events() <-chan fsnotify.Event { return w.Watcher.Events }
func (w fsWatcher) Errors() <-chan error          { return w.Watcher.Errors }

// Notify is called for each event in a directory, with the entry's name, and
// with an empty name if anything may have happened. It must not block, and must
// not call the Table.
type Notify func(name string, op fsnotify.Op)

// Table knows which directories are watched, and whom to tell. Its methods are
// safe for concurrent use.
type Table struct {
	make func() (Watcher, error)

	mu      sync.Mutex        // not held over calls of the watcher's Add and Remove
	watcher Watcher           // nil while there is none
	notify  map[string]Notify // by path

	readers sync.WaitGroup
}

// NewTable returns a table whose watcher is made by make, when it is needed; nil
// means New.
func NewTable(make func() (Watcher, error)) *Table {
	if make == nil {
		make = New
	}
	return &Table{make: make, notify: map[string]Notify{}}
}

// Add watches a directory, or goes on watching it. The path is absolute and
// clean. The error is for people; then the directory is not watched, as where no
// event tells what others do.
func (t *Table) Add(dir string, notify Notify) error {
	if name := Foreign(dir); name != "" {
		return fmt.Errorf("its file system (%s) does not tell of changes that are made elsewhere", name)
	}
	w, err := t.enter(dir, notify)
	if err == nil {
		err = w.Add(dir)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		err = fmt.Errorf("the limit of watches is reached (%w); raise it: sysctl fs.inotify.max_user_watches=524288", err)
	case errors.Is(err, syscall.EMFILE):
		err = fmt.Errorf("the limit of watchers or of open files is reached (%w); raise it: sysctl fs.inotify.max_user_instances=1024, or ulimit -n", err)
	default:
		err = fmt.Errorf("cannot be watched: %w", err)
	}
	t.Remove(dir)
	return err
}

// enter notes whom to tell, before the first event comes, and returns the
// watcher, which it makes if there is none.
func (t *Table) enter(dir string, notify Notify) (Watcher, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watcher == nil {
		w, err := t.make()
		if err != nil {
			return nil, err
		}
		t.watcher = w
		t.readers.Go(func() {
			for ev := range w.Events() {
				t.event(ev)
			}
		})
		t.readers.Go(func() {
			for range w.Errors() { // the watcher waits until they have been read
				t.all()
			}
		})
	}
	t.notify[dir] = notify
	return t.watcher, nil
}

// Remove ends the watching of a directory, if it is watched.
func (t *Table) Remove(dir string) {
	t.mu.Lock()
	_, known := t.notify[dir]
	delete(t.notify, dir)
	w := t.watcher
	t.mu.Unlock()
	if known && w != nil {
		w.Remove(dir) // an error says that it is not watched any more
	}
}

// Close ends the watching, and waits for it to have ended. Nothing is watched
// afterwards.
func (t *Table) Close() error {
	t.mu.Lock()
	w := t.watcher
	t.watcher, t.make = nil, func() (Watcher, error) { return nil, fsnotify.ErrClosed }
	t.mu.Unlock()
	if w == nil {
		return nil
	}
	err := w.Close()
	t.readers.Wait()
	return err
}

// all tells everyone that events were lost.
func (t *Table) all() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, notify := range t.notify {
		notify("", 0)
	}
}

func (t *Table) event(ev fsnotify.Event) {
	dir, name := filepath.Split(ev.Name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if notify := t.notify[filepath.Clean(dir)]; notify != nil {
		notify(name, ev.Op)
	}
	if notify := t.notify[ev.Name]; notify != nil && ev.Op&(fsnotify.Remove|fsnotify.Rename) != 0 {
		notify("", ev.Op)
	}
}
