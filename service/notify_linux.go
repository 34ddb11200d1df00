package service

import (
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Tell tells the manager that runs this process how it does, by systemd's
// protocol: one message, such as READY=1. Where nobody listens, it does nothing.
// A message that does not get through is not reported: the manager finds out by
// its own timeouts, and the agent has more important things to do.
func Tell(message string) {
	message = strings.Join(strings.Fields(message), " ") // a line feed would begin another message
	if message == daemon.SdNotifyReloading {
		message += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	daemon.SdNotify(false, message)
}

// AliveEvery is how often the agent should tell WATCHDOG=1: twice in the time
// after which it is taken for hung. It is 0 if nobody watches.
func AliveEvery() time.Duration {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0 // nonsense in the environment: nobody watches us
	}
	return limit / 2
}
