//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchReader calls gone when nobody is left to read what is written to out, if
// that is a pipe or a socket. stop ends the watching, and waits for it.
func watchReader(out *os.File, gone func()) (stop func(), err error) {
	info, err := out.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return func() {}, nil // a write will show what it is worth
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// No events are asked for: errors and hang-ups are told anyway.
		fds := []unix.PollFd{{Fd: int32(out.Fd())}, {Fd: int32(ours.Fd())}}
		for {
			_, err := unix.Poll(fds, -1)
			if err != nil && err != unix.EINTR || fds[1].Revents != 0 {
				return
			}
			if err == nil && fds[0].Revents != 0 {
				gone()
				return
			}
		}
	}()
	return func() {
		theirs.Close() // hangs up on ours
		<-ended
		ours.Close()
	}, nil
}

// readerGone reports whether a write failed because nobody reads any more.
func readerGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
