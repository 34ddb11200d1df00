package agent

import "time"

// alarm calls a function if it is not stopped within a time.
type alarm struct {
	timer *time.Timer
	done  chan struct{} // closed once the function has returned
}

func newAlarm(after time.Duration, call func()) *alarm {
	a := &alarm{done: make(chan struct{})}
	a.timer = time.AfterFunc(after, func() {
		defer close(a.done)
		call()
	})
	return a
}

// stop stops the alarm. If the function has been called, it has also returned.
func (a *alarm) stop() {
	if !a.timer.Stop() {
		<-a.done
	}
}
