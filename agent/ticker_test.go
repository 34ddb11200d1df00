package agent

import (
	"testing"
	"time"
)

func TestTicker(t *testing.T) {
	for name, make := range map[string]func(time.Duration) ticker{"newTicker": newTicker, "newPlainTicker": newPlainTicker} {
		t.Run(name, func(t *testing.T) {
			tick := make(time.Hour)
			tick.reset(time.Millisecond)
			for range 3 {
				select {
				case <-tick.C:
				case <-time.After(limit):
					t.Fatal("it does not tick")
				}
			}
			tick.stop()
			tick.reset(time.Millisecond) // must do no harm
			tick.stop()
		})
	}
}
