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

// buffer is for more than a pipe gives at once: few large writes are cheaper.
var buffer [128 << 10]byte

// input is the event on standard input. It ends with the JSON value, with the
// input, or with the silence of the tool.
type input struct {
	scan  scanner
	ended bool
}

// WriteTo writes what comes until the event ends.
func (in *input) WriteTo(to io.Writer) (written int64, err error) {
	for !in.ended {
		n, err := read(buffer[:], silence)
		if err != nil {
			in.ended = true
			if err == io.EOF || err == errSilence {
				err = nil
			}
			return written, err
		}
		piece := buffer[:n]
		if end := in.scan.end(piece); end >= 0 {
			in.ended = true
			piece = piece[:end+skipSpace(piece[end:])] // what echo appends is stored, too
		}
		n, err = to.Write(piece)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// discard reads to the end of the event, be it stored or not, and what is in the
// pipe behind it, so that the tool does not write into a closed pipe.
func (in *input) discard() {
	in.WriteTo(io.Discard)
	for rest := 0; rest < maxRest; {
		n, err := read(buffer[:], 0)
		if err != nil {
			return
		}
		rest += n
	}
}
