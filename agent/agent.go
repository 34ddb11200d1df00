package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"spoolagent/agent/watch"
	"spoolagent/internal/quote"
	"spoolagent/queue"
)

const (
	// readyPatience is how long the agent waits at its start for what its
	// sources name before it says that it is ready.
	readyPatience = 2 * time.Second
	// stopPatience is how long Run waits for its workers once it is to stop.
	stopPatience = 1500 * time.Millisecond

	// scansAtOnce is how many workers may scan at the same time.
	scansAtOnce = 4
	// filesPerScan is how many open files there should be for each of them.
	filesPerScan = 64
	// filesReserved is how many open files are left for all but the projects'
	// locks.
	filesReserved = 24
)

// agent is what the workers share, and decides which there are.
type agent struct {
	cfg      Config
	self     Holder
	began    time.Time
	settings atomic.Pointer[Settings] // those in force
	status   *statusFile
	watches  *watch.Table
	locks    locks
	slots    chan struct{} // has one for each worker that scans

	// What follows belongs to the goroutine of Run.
	loaded   bool // the settings are those of the user
	workers  map[string]*worker
	sources  map[string]*source // by pattern; the registry's is ""
	listings chan listing
	running  sync.WaitGroup // workers and sources
}

// Run serves the projects until ctx ends. Then every worker finishes the
// transaction it is in, and Run returns nil, at the latest after two seconds:
// a worker that hangs in a system call is left behind, and loses nothing,
// since the queue survives the end of its process at any moment.
//
// A project without a .spool gets one, once; if it is deleted later, that was
// somebody's wish, and it is waited for. What is wrong with one project is
// shown in its state, is tried again, and does not concern the others.
//
// Unless Config.Service is set, Run returns an error at once if the settings
// cannot be loaded, and if it could do nothing: another agent of this user
// runs (*RunningError), the only project is no directory, or all of them are
// served by other agents (a *HeldError for each).
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.checked()
	if err != nil {
		return err
	}
	self := Holder{PID: os.Getpid(), StartedAt: time.Now().Round(0), Version: cfg.Version}
	status, err := newStatusFile(cfg, Info{Holder: self, Service: cfg.Service, User: cfg.User})
	if err != nil {
		return err
	}
	files := maxOpen()
	a := &agent{
		cfg:      cfg,
		self:     self,
		began:    time.Now(),
		status:   status,
		locks:    locks{max: max(files-filesReserved, 1), held: map[string]heldLock{}},
		slots:    make(chan struct{}, max(min(files/filesPerScan, scansAtOnce), 1)),
		workers:  map[string]*worker{},
		sources:  map[string]*source{},
		listings: make(chan listing),
	}
	a.settings.Store(&Settings{ScanInterval: DefaultScanInterval, Options: queue.DefaultOptions()})
	a.watches = watch.NewTable(cfg.NewWatcher, func(err error) {
		if errors.Is(err, fsnotify.ErrEventOverflow) {
			cfg.Log.Debug().Msg("too many events at once; all projects are scanned")
		} else {
			cfg.Log.Warn().Err(err).Msg("the watcher failed; all projects are scanned")
		}
	})
	return errors.Join(a.run(ctx), a.watches.Close(), status.close())
}

func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var writer sync.WaitGroup
	writer.Go(func() { a.status.run(ctx) })
	defer writer.Wait()
	defer cancel()

	if a.cfg.User {
		lock, err := a.lockUser(ctx)
		if lock == nil {
			return err
		}
		defer lock.Unlock() // as good as the end of the process
	}
	err := a.serve(ctx)
	a.cfg.Supervisor.Stopping()
	cancel()

	done := make(chan struct{})
	go func() {
		a.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(stopPatience):
		a.cfg.Log.Warn().Msg("stopping although a project hangs; nothing is lost")
	}
	return err
}

// serve starts and stops workers until ctx ends.
func (a *agent) serve(ctx context.Context) error {
	settings, err := a.load()
	if err == nil {
		err = a.checkProject(settings)
	}
	if err != nil && !a.cfg.Service {
		return err
	}
	if a.cfg.User {
		a.subscribe(ctx, "", a.listRegistry)
	}
	if a.refused(err) {
		a.cfg.Log.Error().Err(err).Msg("nothing is served until the configuration is mended")
	} else {
		a.apply(ctx, settings)
		if err := a.firstAttempts(ctx); err != nil {
			return err
		}
	}

	tick := time.NewTicker(a.scanInterval())
	defer tick.Stop()
	var alive <-chan time.Time
	if every := a.cfg.Supervisor.AliveEvery(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		alive = t.C
	}
	patience := time.NewTimer(readyPatience)
	defer patience.Stop()
	for ready, patient := false, true; ; {
		if !ready && (!patient || a.complete()) {
			ready = true
			a.cfg.Supervisor.Ready()
		}
		select {
		case <-ctx.Done():
			return nil
		case l := <-a.listings:
			a.update(ctx, l)
		case <-a.cfg.Reload:
			a.cfg.Supervisor.Reloading()
			a.reload(ctx)
			tick.Reset(a.scanInterval())
			a.cfg.Supervisor.Ready()
		case <-tick.C:
			if !a.loaded {
				a.reload(ctx)
				tick.Reset(a.scanInterval())
			}
			a.scanAll()
		case <-alive:
			a.cfg.Supervisor.Alive()
		case <-patience.C:
			patient = false
		}
	}
}

func (a *agent) scanInterval() time.Duration { return a.settings.Load().ScanInterval }

// load reads the settings.
func (a *agent) load() (Settings, error) {
	s, err := a.cfg.Load()
	if err != nil {
		return s, err
	}
	return s.checked()
}

// reload reads the settings again. If they are refused, those of before count.
func (a *agent) reload(ctx context.Context) {
	s, err := a.load()
	if a.refused(err) {
		a.cfg.Log.Error().Err(err).Msg("the configuration is refused; nothing has changed")
		return
	}
	a.cfg.Log.Info().Msg("the configuration has been read again")
	a.apply(ctx, s)
}

// refused notes for all to see whether the settings were refused.
func (a *agent) refused(err error) bool {
	if err == nil {
		a.status.problem("")
		return false
	}
	a.status.problem("configuration refused: " + quote.Error(err))
	return true
}

// checkProject refuses a lone project that is no directory, unless a service
// could wait for it.
func (a *agent) checkProject(s Settings) error {
	if a.cfg.User || a.cfg.Service || len(s.Projects) != 1 {
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

// apply puts settings in force.
func (a *agent) apply(ctx context.Context, s Settings) {
	a.settings.Store(&s)
	a.status.limit(s.Options.Cap)
	a.loaded = true
	for pattern, src := range a.sources {
		if pattern != "" && !slices.Contains(s.Patterns, pattern) {
			src.stop()
			delete(a.sources, pattern)
		}
	}
	for _, pattern := range s.Patterns {
		if a.sources[pattern] == nil {
			a.subscribe(ctx, pattern, a.listPattern(pattern))
		}
	}
	a.reconcile(ctx)
	a.scanAll()
}

// complete reports whether every source has been listed.
func (a *agent) complete() bool {
	for _, s := range a.sources {
		if !s.listed {
			return false
		}
	}
	return true
}

// reconcile gives a worker to every project that is to be served, and no other.
// Nothing is served before there are settings, for with the wrong cap signals
// would be evicted.
func (a *agent) reconcile(ctx context.Context) {
	if !a.loaded {
		return
	}
	wanted := map[string]bool{}
	for _, p := range a.settings.Load().Projects {
		wanted[p] = true
	}
	for _, s := range a.sources {
		for _, p := range s.paths {
			wanted[p] = true
		}
	}
	for path, w := range a.workers {
		if !wanted[path] && !w.stopped {
			a.cfg.Log.Info().Str("project", quote.Text(path)).Msg("not served any more")
			w.stopped = true
			w.stop()
		}
	}
	for path := range wanted {
		if w := a.workers[path]; w == nil || w.stopped {
			a.start(ctx, path, w)
		}
	}
}

// start starts a worker for a project, as soon as the one before it has ended.
func (a *agent) start(ctx context.Context, path string, before *worker) {
	w := newWorker(a, path)
	ctx, w.stop = context.WithCancel(ctx)
	a.workers[path] = w
	a.running.Go(func() {
		defer close(w.ended)
		defer w.stop()
		if before != nil {
			<-before.ended
		}
		a.status.begin(path)
		w.run(ctx)
		a.status.remove(path)
	})
}

// firstAttempts waits until every worker has tried to serve its project, and
// returns an error if there is nothing that this agent can serve. It does not
// matter to one that runs unattended or serves what is registered.
func (a *agent) firstAttempts(ctx context.Context) error {
	if a.cfg.User || a.cfg.Service {
		return nil
	}
	var held []error
	for _, w := range a.workers {
		select {
		case err := <-w.first:
			if e := (*HeldError)(nil); errors.As(err, &e) {
				held = append(held, e)
			}
		case <-ctx.Done():
			return nil
		}
	}
	if len(held) < len(a.workers) {
		return nil
	}
	return errors.Join(held...)
}

// scanAll has everything scanned.
func (a *agent) scanAll() {
	a.watches.Revive()
	a.status.check()
	for _, s := range a.sources {
		wake(s.wake)
	}
	for path, w := range a.workers {
		select {
		case <-w.ended:
			delete(a.workers, path)
		default:
			wake(w.ticks)
		}
	}
}

// wake fills a channel of one slot.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
