package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// source is something that names projects, and may name others later: the
// registry, or a pattern. It has a goroutine of its own, for to look at a
// pattern's directories may take long.
type source struct {
	list    func() (paths []string, watch []want, err error)
	watch   *subscriber
	scanned chan struct{} // one slot

	// What follows belongs to the roster.
	cancel context.CancelFunc
	told   bool     // has told anything yet
	paths  []string // that it named last
	wrong  string   // with it, when it told last
}

// found is what a source has to tell. With an error other than a *strayError,
// the paths of before are still right as far as anybody knows.
type found struct {
	source *source
	paths  []string
	err    error
}

// run tells out what the source names, whenever that may have changed.
func (s *source) run(ctx context.Context, t *watchTable, out chan<- found) {
	t.subscribe(s.watch)
	defer t.unsubscribe(s.watch)
	defer t.set(s.watch, nil)
	for {
		paths, watch, err := s.list()
		select {
		case out <- found{s, paths, err}:
		case <-ctx.Done():
			return
		}
		added, err := t.set(s.watch, watch)
		if added || errors.Is(err, fs.ErrNotExist) {
			continue // it has changed, or may have, before it was watched
		}
		select {
		case <-s.watch.dirty:
		case <-s.scanned:
		case <-ctx.Done():
			return
		}
	}
}

func (s *source) scan() {
	select {
	case s.scanned <- struct{}{}:
	default:
	}
}

func patternSource(pattern string) *source {
	return &source{
		list: func() ([]string, []want, error) {
			projects, watch := expand(pattern)
			return projects, watch, nil
		},
		watch:   newLenientSubscriber(),
		scanned: make(chan struct{}, 1),
	}
}

func registrySource(stateDir string) *source {
	dir := registryDir(stateDir)
	watch := []want{{dir, func(name string, op fsnotify.Op) bool {
		return !strings.HasPrefix(name, ".") && op&^fsnotify.Chmod != 0
	}}}
	return &source{
		list: func() (paths []string, _ []want, err error) {
			// Made here, and again if it is deleted, so that it can be watched.
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, nil, err
			}
			all, err := Registered(stateDir)
			if err != nil {
				return nil, watch, err
			}
			var bad []error
			for _, r := range all {
				if r.Err != nil {
					bad = append(bad, r.Err)
				} else {
					paths = append(paths, r.Path)
				}
			}
			if len(bad) > 0 {
				return paths, watch, &strayError{bad}
			}
			return paths, watch, nil
		},
		watch:   newLenientSubscriber(),
		scanned: make(chan struct{}, 1),
	}
}

// strayError says that there are files in the registry that name no project;
// the others count.
type strayError struct{ files []error }

func (e *strayError) Error() string {
	return "registry of projects: " + errors.Join(e.files...).Error()
}
