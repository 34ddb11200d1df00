package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"spoolagent/agent/watch"
	"spoolagent/internal/quote"
)

const (
	notifyReady = "READY=1"
	notifyAlive = "WATCHDOG=1"

	notServed = "not served any more"

	// stopPatience is how long Run waits for its workers once it is to stop.
	stopPatience = 1500 * time.Millisecond

	// scansAtOnce is how many workers may scan at the same time.
	scansAtOnce = 4
	// filesPerScan is how many files a scan has open at most, with some to spare.
	filesPerScan = 20
	// filesBase is how many files an agent has open besides, with some to spare.
	filesBase = 16
)

// agent is what the workers share, and decides which there are.
type agent struct {
	cfg      Config
	settings atomic.Pointer[Settings] // those in force; nil while there are none
	watches  *watch.Table
	locks    atomic.Int64   // how many projects' locks are held
	maxLocks int64          // the most that are held by workers that do not scan
	slots    chan struct{}  // has one for each worker that scans
	changed  chan struct{}  // one slot: a source was listed, or a worker has ended or is held up
	running  sync.WaitGroup // workers and sources

	// These belong to the goroutine of Run.
	sources  map[string]*source // by pattern; the registry's is ""
	userLock *flock.Flock       // nil unless the agent serves all projects of this user

	mu      sync.Mutex
	self    Holder             // without a project
	workers map[string]*worker // by project
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
// Unless Config.Service is set, Run returns an error if the settings cannot be
// loaded, another agent of this user runs (*HeldError), or other agents serve
// all of the projects.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Load == nil {
		cfg.Load = func() (Settings, error) { return cfg.Settings, nil }
	}
	// Of few open files most are for the locks.
	files := maxOpen() - filesBase
	slots := max(min(files/4/filesPerScan, scansAtOnce), 1)
	a := &agent{
		cfg:      cfg,
		maxLocks: int64(files - slots*filesPerScan),
		slots:    make(chan struct{}, slots),
		watches:  watch.NewTable(cfg.NewWatcher),
		changed:  make(chan struct{}, 1),
		sources:  map[string]*source{},
		self:     Holder{PID: os.Getpid(), StartedAt: time.Now().Round(0), Version: cfg.Version, Service: cfg.Service},
		workers:  map[string]*worker{},
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w (XDG_STATE_HOME can name another place)", err)
	}
	return errors.Join(a.run(ctx), a.watches.Close())
}

func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if a.cfg.User {
		lock, err := a.lockUser(ctx)
		if lock == nil {
			return err
		}
		a.userLock = lock
		defer lock.Unlock() // as good as the end of the process
	}
	err := a.serve(ctx)
	a.cfg.Notify("STOPPING=1")
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
	if a.cfg.User {
		a.subscribe(ctx, "", a.listRegistry)
	}
	if err := a.reload(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(a.scanInterval())
	defer tick.Stop()
	var alive <-chan time.Time
	if a.cfg.AliveEvery > 0 {
		alive = time.Tick(a.cfg.AliveEvery)
	}
	a.cfg.Notify(notifyReady)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.changed:
			a.reconcile(ctx)
			if err := a.allHeld(); err != nil && !a.cfg.User && !a.cfg.Service {
				return err
			}
		case <-a.cfg.Reload:
			a.cfg.Notify("RELOADING=1")
			a.reload(ctx)
			tick.Reset(a.scanInterval())
			a.cfg.Notify(notifyReady)
		case <-tick.C:
			if a.settings.Load() == nil {
				a.reload(ctx)
				tick.Reset(a.scanInterval())
			}
			for _, s := range a.sources {
				wake(s.wake)
			}
		case <-alive:
			a.cfg.Notify(notifyAlive)
		}
	}
}

func (a *agent) scanInterval() time.Duration {
	if s := a.settings.Load(); s != nil {
		return s.ScanInterval
	}
	return DefaultScanInterval
}

// reload reads the settings and puts them in force. If they are refused, those
// of before count; nothing is served before there are any, for with the wrong
// cap signals would be evicted. An agent that could only wait for them returns
// the error.
func (a *agent) reload(ctx context.Context) error {
	s, err := a.cfg.Load()
	if err != nil {
		if !a.cfg.Service && a.settings.Load() == nil {
			return err
		}
		a.tell("configuration refused: "+quote.Error(err), a.self.Cap)
		a.cfg.Log.Error().Err(err).Msg("the configuration is refused")
		return nil
	}
	if a.settings.Swap(&s) != nil {
		a.cfg.Log.Info().Msg("the configuration has been read again")
	}
	a.tell("", s.Options.Cap)
	for pattern, src := range a.sources {
		if pattern != "" && !slices.Contains(s.Patterns, pattern) {
			src.stop()
			delete(a.sources, pattern)
		}
	}
	for _, pattern := range s.Patterns {
		if a.sources[pattern] == nil {
			a.subscribe(ctx, pattern, func(*source) ([]string, error) { return Expand(pattern), nil })
		}
	}
	for _, src := range a.sources {
		wake(src.wake)
	}
	wake(a.changed)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		w.rescan()
	}
	return nil
}

// reconcile gives a worker to every project that is to be served, and no other.
func (a *agent) reconcile(ctx context.Context) {
	settings := a.settings.Load()
	if settings == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	wanted := map[string]bool{}
	for _, p := range settings.Projects {
		wanted[p] = true
	}
	for _, s := range a.sources {
		for _, p := range s.paths {
			wanted[p] = true
		}
	}
	for path, w := range a.workers {
		if !wanted[path] {
			w.stop()
		}
	}
	for path := range wanted {
		if a.workers[path] == nil {
			a.start(ctx, path)
		}
	}
}

// start starts a worker for a project. The caller holds mu.
func (a *agent) start(ctx context.Context, path string) {
	w := newWorker(a, path)
	a.workers[path] = w
	var serving context.Context
	serving, w.stop = context.WithCancel(ctx)
	a.running.Go(func() {
		w.run(serving)
		if ctx.Err() == nil {
			w.log.Info().Msg(notServed)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.workers, path)
		wake(a.changed) // it may be wanted again
	})
}

// allHeld returns an error if there are projects, and other agents serve them
// all.
func (a *agent) allHeld() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var held []error
	for _, w := range a.workers {
		if w.said.State != StateHeld {
			return nil
		}
		held = append(held, errors.New(w.said.Problem))
	}
	return errors.Join(held...)
}

// wake fills a channel of one slot.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
