package agent

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"spoolagent/queue"
)

const defaultStatusPause = 20 * time.Millisecond

// scansAtOnce is how many workers may scan at the same time.
const scansAtOnce = 4

// perSpool is how many descriptors an open spool takes, besides that of its lock.
const perSpool = 5

// stopPatience is how long Run waits for its workers once it is to stop.
const stopPatience = 1500 * time.Millisecond

// agent is what the workers share.
type agent struct {
	cfg      Config
	self     Holder
	settings atomic.Pointer[Settings] // those in force; set by the roster
	table    *watchTable
	board    *board
	claims   claims
	turns    chan struct{} // has one for each worker that scans
	keeps    chan struct{} // has one for each worker that keeps its spool open
}

func (a *agent) options() queue.Options      { return a.settings.Load().Options }
func (a *agent) scanInterval() time.Duration { return a.settings.Load().ScanInterval }

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
	reg, err := register(cfg.StateDir)
	if err != nil {
		return err
	}
	a := &agent{
		cfg:    cfg,
		self:   self,
		claims: claims{owners: map[inode]*worker{}, waiting: map[*worker]bool{}},
		turns:  make(chan struct{}, scansAtOnce),
		keeps:  make(chan struct{}, cfg.descriptors/2/perSpool), // the other half is for the locks
		board:  newBoard(reg, cfg, Info{Holder: self, Service: cfg.Service, User: cfg.User}),
	}
	a.settings.Store(&Settings{ScanInterval: DefaultScanInterval, Options: queue.DefaultOptions()})
	if err := reg.write(a.board.info()); err != nil {
		return errors.Join(err, reg.close())
	}
	a.table = newWatchTable(cfg.NewWatcher, cfg.Log)
	return errors.Join(a.run(ctx), a.table.close(), reg.close())
}

func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var writer sync.WaitGroup
	writer.Go(func() { a.board.run(ctx) })
	defer writer.Wait()
	defer cancel()

	if a.cfg.User {
		lock, err := a.lockUser(ctx)
		if lock == nil {
			return err
		}
		defer lock.Unlock() // as good as the end of the process
	}

	r := newRoster(a)
	err := r.run(ctx)
	a.cfg.Supervisor.Stopping()
	cancel()

	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(stopPatience):
		a.cfg.Log.Warn().Msg("stopping although a project hangs; nothing is lost")
	}
	return err
}
