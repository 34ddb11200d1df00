package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"spoolagent/agent/watch"
	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// source names projects, and may name others later: the registry, or a pattern.
// It is listed by a goroutine of its own, for a file system may not answer.
type source struct {
	wake chan struct{} // one slot

	// What follows belongs to the agent's goroutine.
	stop    context.CancelFunc
	listed  bool
	paths   []string // that it named last
	problem string   // then
}

// listing is what a source names. With an error, the paths of before are still
// right as far as anybody knows.
type listing struct {
	source *source
	paths  []string
	stray  []error // what there is besides projects
	err    error
}

// subscribe lists a source now and whenever it is woken, until ctx ends or the
// source is stopped.
func (a *agent) subscribe(ctx context.Context, name string, list func(*source) listing) {
	s := &source{wake: make(chan struct{}, 1)}
	ctx, s.stop = context.WithCancel(ctx)
	a.sources[name] = s
	a.running.Go(func() {
		for {
			l := list(s)
			l.source = s
			select {
			case a.listings <- l:
			case <-ctx.Done():
				return
			}
			var retry <-chan time.Time
			if l.err != nil {
				retry = time.After(retryMin)
			}
			select {
			case <-s.wake:
			case <-retry:
			case <-ctx.Done():
				return
			}
		}
	})
}

// update takes what a source names.
func (a *agent) update(ctx context.Context, l listing) {
	problem := ""
	if err := errors.Join(append(l.stray, l.err)...); err != nil {
		problem = quote.Error(err)
	}
	s := l.source
	if problem != s.problem && problem != "" {
		a.cfg.Log.Warn().Msg(problem)
	}
	s.problem, s.listed = problem, true
	if l.err == nil {
		s.paths = l.paths
	}
	a.status.check() // the state directory may have been emptied
	a.reconcile(ctx)
}

// listRegistry lists the registry, which it makes where it is missing, and has
// it watched. The directory of status files is watched for its removal.
func (a *agent) listRegistry(s *source) listing {
	reg := a.cfg.Registry
	if err := os.MkdirAll(reg.Dir, 0o700); err != nil {
		return listing{err: err}
	}
	for _, dir := range append(reg.dirs(), agentsDir(a.cfg.StateDir)) {
		if watch.Foreign(dir) != "" {
			continue // the scan interval has to do
		}
		a.watches.Add(dir, func(name string, op fsnotify.Op) {
			if name == "" || op&^fsnotify.Chmod != 0 && dir != agentsDir(a.cfg.StateDir) && !strings.HasPrefix(name, ".") {
				wake(s.wake)
			}
		})
	}
	all, err := reg.Projects()
	l := listing{err: err}
	for _, r := range all {
		if r.Err != nil {
			l.stray = append(l.stray, fmt.Errorf("registry of projects: %w", r.Err))
		} else {
			l.paths = append(l.paths, r.Path)
		}
	}
	return l
}

// listPattern lists what a pattern stands for. What it named before counts as
// long as it is there: a directory that cannot be read now hides nothing.
func (a *agent) listPattern(pattern string) func(*source) listing {
	var before []string
	return func(*source) listing {
		paths := Expand(pattern)
		for _, p := range before {
			if hasSpool(p) && !slices.Contains(paths, p) {
				paths = append(paths, p)
			}
		}
		before = paths
		return listing{paths: paths}
	}
}

// CheckPattern refuses what is no pattern of directories: an absolute path whose
// components are patterns of path/filepath.Match. No component stands for more
// than one directory.
func CheckPattern(pattern string) error {
	if err := checkProject(pattern); err != nil {
		return err
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return fmt.Errorf("pattern %s: %w", quote.Text(pattern), err)
	}
	return nil
}

// Expand returns the projects that a pattern stands for at present: the directories
// that match and have a .spool, sorted. What cannot be read does not match.
func Expand(pattern string) []string {
	matches, _ := filepath.Glob(filepath.Clean(pattern))
	matches = slices.DeleteFunc(matches, func(path string) bool { return !hasSpool(path) })
	slices.Sort(matches)
	return matches
}

func hasSpool(project string) bool {
	info, err := os.Lstat(filepath.Join(project, spoolfiles.DirName))
	return err == nil && info.IsDir()
}
