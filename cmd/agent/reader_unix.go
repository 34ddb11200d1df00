//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchReader calls gone when nobody is left to read what is written to out, if
// that is a pipe or a socket; elsewhere a write will show what it is worth.
func watchReader(out *os.File, gone func()) {
	info, err := out.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return
	}
	go func() { // it ends with the program, like the command that it is for
		for {
			// No events are asked for: errors and hang-ups are told anyway.
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(out.Fd())}}, -1)
			if n > 0 {
				gone()
			}
			if err != unix.EINTR {
				return
			}
		}
	}()
}

// readerGone reports whether a write failed because nobody reads any more.
func readerGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
