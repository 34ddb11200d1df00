package agent

import "time"

// ticker is what time.Ticker is, in a form that can be made of other things.
type ticker struct {
	C     <-chan time.Time
	reset func(time.Duration)
	stop  func()
}

func newPlainTicker(every time.Duration) ticker {
	t := time.NewTicker(every)
	return ticker{C: t.C, reset: t.Reset, stop: t.Stop}
}
