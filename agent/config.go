package agent

import (
	"os"
	"time"

	"github.com/rs/zerolog"

	"spoolagent/agent/registry"
	"spoolagent/agent/watch"
	"spoolagent/queue"
)

// DefaultScanInterval is how often all projects are scanned unasked.
const DefaultScanInterval = 60 * time.Second

// Settings are what may change while an agent runs.
type Settings struct {
	Projects     []string      // directories, absolute and clean
	Patterns     []string      // of directories that are served if they have a .spool; see Expand
	Options      queue.Options // for all projects
	ScanInterval time.Duration // more than 0
}

// Config says what Run is to do.
type Config struct {
	Settings

	// Load, if it is set, gives the Settings: at the start, and again whenever
	// there is something to receive from Reload. An error is reported, and the
	// settings of before count. It is called by one goroutine.
	Load   func() (Settings, error)
	Reload <-chan os.Signal

	// User: the agent is the one that serves this user's projects, also those
	// that are registered (Register), now or later. A second one is a
	// *HeldError.
	User bool

	// Service: the agent runs unattended. It then waits for what would else
	// make Run return an error: another agent of this user or of all projects,
	// settings that cannot be loaded.
	Service bool

	StateDir string            // for the lock of the agent of a user, absolute; made if it is missing
	Registry registry.Registry // of projects
	Version  string            // of this program, for people
	Log      zerolog.Logger    // of what happens; nothing of a signal's content gets there

	// Notify tells who started the agent how it is, in the words
	// of sd_notify(3): READY=1, RELOADING=1, STOPPING=1, STATUS=..., and
	// WATCHDOG=1 every AliveEvery, unless that is 0. It is called from several
	// goroutines, and should not take long.
	Notify     func(message string)
	AliveEvery time.Duration

	// NewWatcher makes the one watcher; nil means fsnotify's.
	NewWatcher func() (watch.Watcher, error)
}
