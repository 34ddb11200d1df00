package main

import (
	"errors"
	"io"
	"time"
)

const (
	// silence is how long a tool may pause before its event counts as complete: it
	// may leave the pipe open.
	silence = 2 * time.Second
	// maxRest is more than a pipe holds.
	maxRest = 1 << 20
)

// errSilence says that nothing came for as long as was waited.
var errSilence = errors.New("nothing came")

// input reads the event on standard input. It ends with the JSON value, with the
// input, or with the silence of the tool.
type input struct {
	scan  scanner
	ended bool
}

func (in *input) Read(p []byte) (int, error) {
	if in.ended {
		return 0, io.EOF
	}
	n, err := read(p, silence)
	if err != nil {
		in.ended = true
		if err == errSilence {
			err = io.EOF
		}
		return n, err
	}
	if end := in.scan.end(p[:n]); end >= 0 {
		in.ended = true
		n = end + skipSpace(p[end:n]) // what echo appends is stored, too
	}
	return n, nil
}

// discard reads to the end of the event, be it stored or not, and what is in the
// pipe behind it, so that the tool does not write into a closed pipe.
func (in *input) discard() {
	io.Copy(io.Discard, in)
	rest := make([]byte, 4<<10)
	for total := 0; total < maxRest; {
		n, err := read(rest, 0)
		if err != nil {
			return
		}
		total += n
	}
}
