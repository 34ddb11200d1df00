package follow

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// Batch is what a follower hands over at a time: the signals of one drain.
type Batch struct {
	// ID is the batch's for as long as it has not been given back, also where
	// the follower dies and another takes over.
	ID string

	// Signals are JSON Lines in canonical form, or numbered, and complete: the
	// file does not end early, whatever happens to the follower.
	Signals *os.File
}

// errUnfit says that a reply is none that an agent or a follower could have made.
var errUnfit = errors.New("not a reply")

// maxSignal is the most bytes of a reply's line.
const maxSignal = 16 << 20

// openBatch opens a reply. With ids, each line has the member "id" before its
// others: the batch's id, a hyphen, and the number of the line, from 1. The
// error wraps errUnfit if a strange reply, or one that gets ids, has anything
// but signals; if it is not strange otherwise, that is taken on trust.
func openBatch(sp *spoolfiles.Spool, id string, ids, strange bool) (Batch, error) {
	name := id + spoolfiles.ReplySuffix
	if info, err := sp.Control.Lstat(name); err == nil && (!info.Mode.IsRegular() || !info.Ours()) {
		return Batch{}, fmt.Errorf("%w: no regular file of this user", errUnfit)
	}
	f, err := sp.Control.OpenFile(name, os.O_RDONLY)
	if err != nil || !ids && !strange {
		return Batch{id, f}, err
	}
	defer f.Close()
	tmp := "batch-" + spoolfiles.NewID()
	out, err := sp.Tmp.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return Batch{}, fmt.Errorf("copying signals: %w", err)
	}
	// The name is not needed any more. Where an open file keeps it, it goes
	// with the other abandoned ones.
	sp.Tmp.Remove(tmp)
	mark := ""
	if ids {
		mark = id
	}
	err = copySignals(out, f, mark)
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err != nil {
		return Batch{}, errors.Join(fmt.Errorf("copying signals: %w", err), out.Close())
	}
	return Batch{id, out}, nil
}

// copySignals copies signals, one a line, in canonical form. If the batch's id
// is given, each signal gets one as well.
func copySignals(to io.Writer, from io.Reader, id string) error {
	in, out := bufio.NewScanner(from), bufio.NewWriter(to)
	in.Buffer(nil, maxSignal)
	var line []byte
	for n := 1; in.Scan(); n++ {
		s, err := signal.ParseLine(in.Bytes())
		if err != nil {
			return fmt.Errorf("%w: line %d: %w", errUnfit, n, err)
		}
		line = append(s.AppendLine(line[:0]), '\n')
		rest := line
		if id != "" {
			fmt.Fprintf(out, `{"id":"%s-%d",`, id, n)
			rest = line[1:] // a canonical line has at least recorded_at
		}
		if _, err := out.Write(rest); err != nil {
			return err
		}
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: a line of more than %d bytes", errUnfit, maxSignal)
	} else if err != nil {
		return err
	}
	return out.Flush()
}
