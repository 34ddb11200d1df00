package follow

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// Batch is what a follower hands over at a time: the signals of one drain.
type Batch struct {
	// ID is the batch's for as long as it has not been given back, also where
	// the follower dies and another takes over.
	ID string

	// Signals are JSON Lines, in canonical form but for the ids, and complete:
	// the file does not end early, whatever happens to the follower.
	Signals *os.File

	Count int // of the signals
}

// errUnfit says that a reply is none that an agent or a follower could have made.
var errUnfit = errors.New("not a reply")

// maxSignal is the most bytes of a reply's line.
const maxSignal = 16 << 20

// openBatch opens a copy of a reply. With ids, each line has the member "id"
// before its others: the batch's id, a hyphen, and the number of the line, from
// 1. The error wraps errUnfit if the reply, which may be anybody's where it is
// taken over, has anything but signals.
func openBatch(sp *spoolfiles.Spool, id string, ids bool) (Batch, error) {
	f, err := sp.Control.OpenFile(id+spoolfiles.ReplySuffix, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return Batch{}, err
	}
	if err != nil {
		return Batch{}, fmt.Errorf("%w: %w", errUnfit, err)
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
	n, err := copySignals(out, f, id, ids)
	if _, serr := out.Seek(0, io.SeekStart); err == nil {
		err = serr
	}
	if err != nil {
		return Batch{}, errors.Join(fmt.Errorf("copying signals: %w", err), out.Close())
	}
	return Batch{id, out, n}, nil
}

// copySignals copies the signals of a batch, one a line, in canonical form, with
// or without ids, and counts them.
func copySignals(to io.Writer, from io.Reader, batch string, ids bool) (n int, err error) {
	in, out := bufio.NewScanner(from), bufio.NewWriter(to)
	in.Buffer(nil, maxSignal)
	var line []byte
	for in.Scan() {
		n++
		s, err := signal.ParseLine(in.Bytes())
		if err != nil {
			return n, fmt.Errorf("%w: line %d: %w", errUnfit, n, err)
		}
		line = append(s.AppendLine(line[:0]), '\n')
		rest := line
		if ids {
			fmt.Fprintf(out, `{"id":"%s-%d",`, batch, n)
			rest = line[1:] // a canonical line has at least recorded_at
		}
		if _, err := out.Write(rest); err != nil {
			return n, err
		}
	}
	if err := in.Err(); err != nil {
		return n, fmt.Errorf("%w: %w", errUnfit, err)
	}
	return n, out.Flush()
}
