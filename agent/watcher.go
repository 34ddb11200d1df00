package agent

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// Watcher tells of changes in directories. It is what fsnotify offers, as an
// interface, so that another can take its place.
//
// Add and Remove are called from any goroutine, one at a time, but never from
// the one that reads Events and Errors. Adding what is watched already must do
// no harm. Both channels are closed when the watcher is.
type Watcher interface {
	Add(dir string) error
	Remove(dir string) error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
	Close() error
}

// eventBuffer is how many events may wait for the table to look at them: our
// own unlinking of a batch of drops raises one each.
const eventBuffer = 1024

type fsWatcher struct{ *fsnotify.Watcher }

func newFSWatcher() (Watcher, error) {
	w, err := fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		return nil, err
	}
	return fsWatcher{w}, nil
}

func (w fsWatcher) Events() <-chan fsnotify.Event { return w.Watcher.Events }
func (w fsWatcher) Errors() <-chan error          { return w.Watcher.Errors }

// eventless says why no events can be relied on in a directory; nil if they can.
func eventless(dir string) error {
	if name := foreignFS(dir); name != "" {
		return &eventlessError{name}
	}
	return nil
}

type eventlessError struct{ fileSystem string }

func (e *eventlessError) Error() string {
	return fmt.Sprintf("its file system (%s) does not tell of changes that are made elsewhere", e.fileSystem)
}

// explainWatch says in a person's words why something cannot be watched, and
// how to mend it.
func explainWatch(err error) error {
	if e := (*eventlessError)(nil); errors.As(err, &e) {
		return err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the limit of watches is reached (%w); raise it: sysctl fs.inotify.max_user_watches=524288", err)
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("the limit of watchers or of open files is reached (%w); raise it: sysctl fs.inotify.max_user_instances=1024, or ulimit -n", err)
	}
	return fmt.Errorf("cannot be watched: %w", err)
}
