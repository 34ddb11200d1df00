package service

import (
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells the manager that runs this process how it does, by systemd's
// protocol. Where nobody listens, all of it does nothing. A message that does
// not get through is not reported: the manager finds out by its own timeouts,
// and the agent has more important things to do.
//
// Its methods may be called concurrently.
type Notifier struct{ aliveEvery time.Duration }

// NewNotifier looks into the environment for who listens.
func NewNotifier() *Notifier {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		limit = 0 // nonsense in the environment: nobody watches us
	}
	return &Notifier{aliveEvery: limit / 2}
}

// Ready says that the agent serves; also after Reloading.
func (n *Notifier) Ready() { n.tell(daemon.SdNotifyReady) }

// Status is one line for people, shown by 'systemctl --user status'.
func (n *Notifier) Status(line string) {
	// A line feed would begin another message.
	n.tell("STATUS=" + strings.Join(strings.Fields(line), " "))
}

// Reloading says that the agent reads its configuration anew; Ready follows.
func (n *Notifier) Reloading() {
	n.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the agent was told to stop, and does.
func (n *Notifier) Stopping() { n.tell(daemon.SdNotifyStopping) }

// AliveEvery is how often the agent should call Alive: twice in the time after
// which it is taken for hung. It is 0 if nobody watches.
func (n *Notifier) AliveEvery() time.Duration { return n.aliveEvery }

// Alive says that the agent is not hung.
func (n *Notifier) Alive() { n.tell(daemon.SdNotifyWatchdog) }

func (n *Notifier) tell(message string) { daemon.SdNotify(false, message) }
