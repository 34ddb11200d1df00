//go:build unix

package main

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// read reads from standard input, but waits no longer than patience for the
// first byte.
func read(p []byte, patience time.Duration) (int, error) {
	fd := int(os.Stdin.Fd())
	end := time.Now().Add(patience)
	for {
		left := max(time.Until(end).Milliseconds(), 0)
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left))
		if err == nil && ready == 0 {
			return 0, errSilence
		}
		n := 0
		if err == nil {
			n, err = unix.Read(fd, p)
		}
		switch {
		case err == unix.EINTR, err == unix.EAGAIN: // another process has read it
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
