package agent

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// newTicker returns a ticker for long pauses, which must be stopped.
//
// It is a timerfd, for the sake of an agent that is idle. The runtime waits for
// its own timers in epoll_wait, which the kernel ends up to a thousandth of the
// time too late. Its monitor, which is not late, wakes up every 10 ms until it
// is done: some eight wake-ups more at each tick. Besides, this clock goes on
// while the machine is suspended, so that all is looked at when it wakes up.
func newTicker(every time.Duration) ticker {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newPlainTicker(every)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	c := make(chan time.Time, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		expired := make([]byte, 8) // how often; it does not matter here
		for {
			if _, err := file.Read(expired); err != nil {
				return // it is closed
			}
			select {
			case c <- time.Now():
			default:
			}
		}
	})
	t := ticker{
		C: c,
		reset: func(every time.Duration) {
			raw, err := file.SyscallConn()
			if err != nil {
				return // it is closed
			}
			next := unix.NsecToTimespec(int64(every))
			raw.Control(func(fd uintptr) {
				unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Interval: next, Value: next}, nil)
			})
		},
		stop: func() {
			file.Close()
			reader.Wait()
		},
	}
	t.reset(every)
	return t
}
