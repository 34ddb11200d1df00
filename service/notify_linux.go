package service

import (
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Tell tells the manager that runs this process how the process is doing, by
// systemd's protocol: one message, such as READY=1. Where nobody listens, it does
// nothing. A message that is not delivered is not reported: the manager notices by
// its own timeouts, and the agent has more important things to do.
func Tell(message string) {
	message = strings.Join(strings.Fields(message), " ") // a line feed would begin another message
	if message == daemon.SdNotifyReloading {
		message += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	daemon.SdNotify(false, message)
}

// AliveEvery returns how often the agent should tell WATCHDOG=1: twice in the time
// after which it is taken for hung. It is 0 if nobody watches.
func AliveEvery() time.Duration {
	limit, _ := daemon.SdWatchdogEnabled(false) // an error is nonsense in the environment, and leaves it 0
	return limit / 2
}
