package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"spoolagent/queue"
)

// DefaultScanInterval is how often all projects are looked at unasked.
const DefaultScanInterval = 60 * time.Second

const defaultStatusPause = time.Second

// scansAtOnce is how many workers may scan at the same time.
const scansAtOnce = 4

// stopPatience is how long Run waits for its workers once it is to stop.
const stopPatience = 1500 * time.Millisecond

// Config says what Run is to do.
type Config struct {
	Projects     []string       // directories, absolute
	Options      queue.Options  // for all of them
	ScanInterval time.Duration  // 0 means DefaultScanInterval
	StateDir     string         // for the status file; made if it is missing
	Version      string         // of this program, for people
	Log          zerolog.Logger // of what happens; nothing of a signal's content gets there

	// Service: the agent runs unattended. It then waits for projects that are
	// missing or served by another agent where it would return an error.
	Service bool

	// NewWatcher makes the one watcher; nil means fsnotify's.
	NewWatcher func() (Watcher, error)

	// statusPause is the least time between two writings of the status file;
	// 0 means defaultStatusPause.
	statusPause time.Duration
}

// agent is what the workers share.
type agent struct {
	cfg   Config
	self  Holder
	table *watchTable
	board *board
	turns chan struct{} // has one for each worker that scans
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
// Unless Config.Service is set, Run returns an error at once if there is only
// one project and it is no directory, and if all projects are served by other
// agents (a *HeldError for each).
func Run(ctx context.Context, cfg Config) error {
	cfg, err := checked(cfg)
	if err != nil {
		return err
	}
	self := Holder{PID: os.Getpid(), StartedAt: time.Now().Round(0), Version: cfg.Version}
	reg, err := register(cfg.StateDir)
	if err != nil {
		return err
	}
	a := &agent{
		cfg:   cfg,
		self:  self,
		turns: make(chan struct{}, scansAtOnce),
		board: newBoard(reg, cfg.statusPause, Info{Holder: self, Service: cfg.Service, Cap: cfg.Options.Cap}, cfg.Projects),
	}
	if err := reg.write(a.board.info()); err != nil {
		return errors.Join(err, reg.close())
	}
	a.table = newWatchTable(cfg.NewWatcher, cfg.Log)
	return errors.Join(a.run(ctx), a.table.close(), reg.close())
}

func checked(cfg Config) (Config, error) {
	if cfg.StateDir == "" {
		return cfg, errors.New("no state directory is given")
	}
	if cfg.ScanInterval <= 0 {
		cfg.ScanInterval = DefaultScanInterval
	}
	if cfg.statusPause <= 0 {
		cfg.statusPause = defaultStatusPause
	}
	if cfg.NewWatcher == nil {
		cfg.NewWatcher = newFSWatcher
	}
	cfg.Projects = slices.Clone(cfg.Projects)
	for i, p := range cfg.Projects {
		if !filepath.IsAbs(p) {
			return cfg, fmt.Errorf("project %s: not an absolute path", quote(p))
		}
		cfg.Projects[i] = filepath.Clean(p)
	}
	slices.Sort(cfg.Projects)
	cfg.Projects = slices.Compact(cfg.Projects)
	if len(cfg.Projects) == 1 && !cfg.Service {
		info, err := os.Stat(cfg.Projects[0])
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		if err != nil {
			return cfg, fmt.Errorf("project %s: %w", quote(cfg.Projects[0]), err)
		}
	}
	return cfg, nil
}

func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var writer sync.WaitGroup
	writer.Go(func() {
		a.board.run(ctx, func(err error) {
			a.cfg.Log.Warn().Err(err).Msg("agent status will not show the latest")
		})
	})
	defer writer.Wait()
	defer cancel()

	var workers sync.WaitGroup
	opened := make(chan error, len(a.cfg.Projects))
	all := make([]*worker, len(a.cfg.Projects))
	for i, p := range a.cfg.Projects {
		all[i] = newWorker(a, p)
		workers.Go(func() { all[i].run(ctx, opened) })
	}
	err := a.held(ctx, opened)
	if err == nil {
		a.scan(ctx, all)
	}
	cancel()

	done := make(chan struct{})
	go func() {
		workers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(stopPatience):
		a.cfg.Log.Warn().Msg("stopping although a project hangs; nothing is lost")
	}
	return err
}

// held waits until every worker has tried to open its spool, and returns an
// error if there is nothing that this agent can serve.
func (a *agent) held(ctx context.Context, opened <-chan error) error {
	var held []error
	for range a.cfg.Projects {
		select {
		case err := <-opened:
			if e := (*HeldError)(nil); errors.As(err, &e) {
				held = append(held, e)
			}
		case <-ctx.Done():
			return nil
		}
	}
	if a.cfg.Service || len(held) == 0 || len(held) < len(a.cfg.Projects) {
		return nil
	}
	return errors.Join(held...)
}

// scan has all projects looked at, at every interval, until ctx ends.
func (a *agent) scan(ctx context.Context, all []*worker) {
	tick := time.NewTicker(a.cfg.ScanInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.table.revive()
		for _, w := range all {
			w.scan()
		}
	}
}
