// Package patience bounds how long, and how many at a time, projects are waited
// for: any of them may be on a file system that does not answer.
package patience

import (
	"context"
	"sync"
	"time"
)

// Within returns what f returns. ok is false if ctx ends or the time is over
// before; then f's goroutine is left behind.
func Within[T any](ctx context.Context, limit time.Duration, f func(context.Context) T) (result T, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan T, 1)
	go func() { done <- f(ctx) }()
	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
		return result, false
	}
}

// atOnce is how many calls Each makes at a time.
const atOnce = 16

// Each calls f with the numbers from 0 to n-1, several at a time.
func Each(n int, f func(i int)) {
	var calls sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		calls.Go(func() {
			f(i)
			<-slots
		})
	}
	calls.Wait()
}
