package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"spoolagent/internal/quote"
)

// readyPatience is how long the agent waits at its start for what its sources
// name before it says that it is ready.
const readyPatience = 2 * time.Second

// roster decides which projects have a worker: those of the settings and those
// that its sources name. It belongs to the goroutine of run.
type roster struct {
	agent   *agent
	running sync.WaitGroup // workers and sources
	posts   map[string]*post
	sources map[string]*source // by pattern; the registry's is ""
	found   chan found
	loaded  bool // settings are in force
}

// post is a worker at work.
type post struct {
	worker *worker
	cancel context.CancelFunc
	ended  chan struct{}
}

func newRoster(a *agent) *roster {
	return &roster{agent: a, posts: map[string]*post{}, sources: map[string]*source{}, found: make(chan found)}
}

// run keeps the roster until ctx ends.
func (r *roster) run(ctx context.Context) error {
	cfg, sup := &r.agent.cfg, r.agent.cfg.Supervisor
	settings, err := r.load()
	if err == nil {
		err = r.check(settings)
	}
	if err != nil && !cfg.Service {
		return err
	}
	if cfg.User {
		r.hearken(ctx, "", registrySource(cfg.StateDir))
	}
	if r.refused(err) {
		cfg.Log.Error().Err(err).Msg("nothing is served until the configuration is mended")
	} else {
		var opened chan error
		if !cfg.User && !cfg.Service {
			opened = make(chan error, len(settings.Projects))
		}
		r.enforce(ctx, settings, opened)
		if err := r.held(ctx, opened); err != nil {
			return err
		}
	}

	tick := newTicker(r.agent.scanInterval())
	defer tick.stop()
	var alive <-chan time.Time
	if every := sup.AliveEvery(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		alive = t.C
	}
	patience := time.NewTimer(readyPatience)
	defer patience.Stop()
	for ready := false; ; {
		if !ready && r.complete() {
			ready = true
			sup.Ready()
		}
		select {
		case <-ctx.Done():
			return nil
		case f := <-r.found:
			r.hear(ctx, f)
		case <-cfg.Reload:
			sup.Reloading()
			r.reload(ctx)
			tick.reset(r.agent.scanInterval())
			sup.Ready()
		case <-tick.C:
			if !r.loaded {
				r.reload(ctx)
				tick.reset(r.agent.scanInterval())
			}
			r.scan()
		case <-alive:
			sup.Alive()
		case <-patience.C:
			if !ready {
				ready = true
				sup.Ready()
			}
		}
	}
}

// load reads the settings.
func (r *roster) load() (Settings, error) {
	s, err := r.agent.cfg.Load()
	if err != nil {
		return s, err
	}
	return s.checked()
}

// reload reads the settings again. If they are refused, those of before count.
func (r *roster) reload(ctx context.Context) {
	s, err := r.load()
	if r.refused(err) {
		r.agent.cfg.Log.Error().Err(err).Msg("the configuration is refused; nothing has changed")
		return
	}
	r.agent.cfg.Log.Info().Msg("the configuration has been read again")
	r.enforce(ctx, s, nil)
}

// refused notes for all to see whether the settings were refused.
func (r *roster) refused(err error) bool {
	if err == nil {
		r.agent.board.problem("")
		return false
	}
	r.agent.board.problem("configuration refused: " + quote.Error(err))
	return true
}

// check refuses a lone project that is no directory, unless a service could
// wait for it.
func (r *roster) check(s Settings) error {
	if r.agent.cfg.User || r.agent.cfg.Service || len(s.Projects) != 1 {
		return nil
	}
	info, err := os.Stat(s.Projects[0])
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err // it names the path once more
	}
	if err != nil {
		return fmt.Errorf("project %s: %w", quote.Text(s.Projects[0]), err)
	}
	return nil
}

// enforce puts settings in force.
func (r *roster) enforce(ctx context.Context, s Settings, opened chan<- error) {
	r.agent.settings.Store(&s)
	r.agent.board.limit(s.Options.Cap)
	r.loaded = true
	for pattern, src := range r.sources {
		if pattern != "" && !slices.Contains(s.Patterns, pattern) {
			src.cancel()
			delete(r.sources, pattern)
		}
	}
	for _, pattern := range s.Patterns {
		if r.sources[pattern] == nil {
			r.hearken(ctx, pattern, patternSource(pattern))
		}
	}
	r.appoint(ctx, opened)
	r.scan()
}

// hearken begins to listen to a source.
func (r *roster) hearken(ctx context.Context, name string, s *source) {
	ctx, s.cancel = context.WithCancel(ctx)
	r.sources[name] = s
	r.running.Go(func() { s.run(ctx, r.agent.table, r.found) })
}

// hear takes what a source tells.
func (r *roster) hear(ctx context.Context, f found) {
	s := f.source
	s.told = true
	var strays *strayError
	wrong := ""
	if f.err != nil {
		wrong = quote.Error(f.err)
	}
	if f.err == nil || errors.As(f.err, &strays) {
		s.paths = f.paths
	}
	if wrong != s.wrong && wrong != "" {
		r.agent.cfg.Log.Warn().Msg(wrong)
	}
	s.wrong = wrong
	r.agent.board.check() // the state directory may have been emptied
	r.appoint(ctx, nil)
}

// complete reports whether every source has been heard.
func (r *roster) complete() bool {
	for _, s := range r.sources {
		if !s.told {
			return false
		}
	}
	return true
}

// appoint gives a worker to every project that is to be served, and no other.
// Nothing is served before there are settings, for with the wrong cap signals
// would be evicted.
func (r *roster) appoint(ctx context.Context, opened chan<- error) {
	if !r.loaded {
		return
	}
	wanted := map[string]bool{}
	for _, p := range r.agent.settings.Load().Projects {
		wanted[p] = true
	}
	for _, s := range r.sources {
		for _, p := range s.paths {
			wanted[p] = true
		}
	}
	for path, p := range r.posts {
		if p.cancel != nil && !wanted[path] {
			r.agent.cfg.Log.Info().Str("project", quote.Text(path)).Msg("not served any more")
			p.cancel()
			p.cancel = nil
		}
	}
	for path := range wanted {
		if p := r.posts[path]; p == nil || p.cancel == nil {
			r.hire(ctx, path, p, opened)
		}
	}
}

// hire starts a worker for a project, as soon as the one before it has ended.
func (r *roster) hire(ctx context.Context, path string, before *post, opened chan<- error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &post{worker: newWorker(r.agent, path), cancel: cancel, ended: make(chan struct{})}
	r.posts[path] = p
	r.running.Go(func() {
		defer close(p.ended)
		defer cancel()
		if before != nil {
			<-before.ended
		}
		r.agent.board.begin(path)
		p.worker.run(ctx, opened)
		r.agent.board.remove(path)
	})
}

// held waits until every worker has tried to open its spool, and returns an
// error if there is nothing that this agent can serve. Where opened is nil it
// does not matter.
func (r *roster) held(ctx context.Context, opened <-chan error) error {
	if opened == nil {
		return nil
	}
	var held []error
	for range len(r.posts) {
		select {
		case err := <-opened:
			if e := (*HeldError)(nil); errors.As(err, &e) {
				held = append(held, e)
			}
		case <-ctx.Done():
			return nil
		}
	}
	if len(held) == 0 || len(held) < len(r.posts) {
		return nil
	}
	return errors.Join(held...)
}

// scan has everything looked at.
func (r *roster) scan() {
	r.agent.table.revive()
	r.agent.board.check()
	for _, s := range r.sources {
		s.scan()
	}
	for path, p := range r.posts {
		select {
		case <-p.ended:
			delete(r.posts, path)
		default:
			p.worker.scan()
		}
	}
}
