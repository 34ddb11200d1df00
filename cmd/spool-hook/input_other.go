//go:build !unix

package main

import (
	"os"
	"time"
)

// read reads from standard input, but waits no longer than patience for the
// first byte. Where nothing came, a goroutine still waits for it: there is no
// other way to ask a pipe, and the process ends soon.
func read(p []byte, patience time.Duration) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := os.Stdin.Read(p)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return r.n, r.err
	case <-time.After(max(patience, 10*time.Millisecond)):
		return 0, errSilence
	}
}
