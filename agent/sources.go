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

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// source names projects, and may name others later: the registry, or a pattern.
// It is listed by a goroutine of its own, for a file system may not answer.
type source struct {
	wake  chan struct{} // one slot
	stop  context.CancelFunc
	paths []string // that it named last; guarded by the agent's mu
}

// subscribe lists a source now and whenever it is woken, until ctx ends or the
// source is stopped. If list returns nil, what was named before is still right
// as far as anybody knows, and it is tried again soon.
func (a *agent) subscribe(ctx context.Context, name string, list func(*source) ([]string, error)) {
	s := &source{wake: make(chan struct{}, 1)}
	ctx, s.stop = context.WithCancel(ctx)
	a.sources[name] = s
	a.running.Go(func() {
		for said := ""; ctx.Err() == nil; {
			paths, err := list(s)
			text := fmt.Sprint(err)
			if err != nil && text != said {
				a.cfg.Log.Warn().Msg(quote.Error(err))
			}
			said = text
			var retry <-chan time.Time
			if paths == nil {
				paths, retry = s.paths, time.After(pollInterval)
			}
			a.mu.Lock()
			s.paths = paths
			a.mu.Unlock()
			wake(a.changed)
			select {
			case <-s.wake:
			case <-retry:
			case <-ctx.Done():
			}
		}
	})
}

// listRegistry lists the registry, whose directories it makes where they are
// missing, and has them watched.
func (a *agent) listRegistry(s *source) ([]string, error) {
	for _, dir := range a.cfg.Registry.Dirs() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		err := a.watches.Add(dir, func(name string, op fsnotify.Op) {
			if name == "" || op != fsnotify.Chmod && !strings.HasPrefix(name, ".") {
				wake(s.wake)
			}
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err // removed since; of what else is wrong the scan interval takes care
		}
	}
	entries, err := a.cfg.Registry.List()
	if err != nil {
		return nil, err
	}
	paths := []string{}
	var stray []error
	for _, e := range entries {
		if e.Err != nil {
			stray = append(stray, e.Err)
		} else {
			paths = append(paths, e.Path)
		}
	}
	return paths, errors.Join(stray...)
}

// Expand returns the projects that a pattern stands for at present: the
// directories that match, as path/filepath.Glob has it, and have a .spool. The list
// is never nil. What cannot be read does not match.
func Expand(pattern string) []string {
	projects := []string{}
	matches, _ := filepath.Glob(filepath.Clean(pattern))
	for _, path := range matches {
		if info, err := os.Lstat(filepath.Join(path, spoolfiles.DirName)); err == nil && info.IsDir() {
			projects = append(projects, path)
		}
	}
	return projects
}
