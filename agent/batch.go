package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"spoolagent/spoolfiles"
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

// openBatch opens a reply. With ids, each line has the member "id" before its
// others: the batch's id, a hyphen, and the number of the line, from 1.
func openBatch(sp *spoolfiles.Spool, id string, ids bool) (Batch, error) {
	f, err := sp.Control.OpenFile(id+spoolfiles.ReplySuffix, os.O_RDONLY)
	if err != nil || !ids {
		return Batch{id, f}, err
	}
	defer f.Close()
	name := "numbered-" + spoolfiles.NewID()
	out, err := sp.Tmp.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return Batch{}, fmt.Errorf("numbering signals: %w", err)
	}
	// The name is not needed any more. Where an open file keeps it, it goes
	// with the other abandoned ones.
	sp.Tmp.Remove(name)
	err = number(out, f, id)
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err != nil {
		return Batch{}, errors.Join(fmt.Errorf("numbering signals: %w", err), out.Close())
	}
	return Batch{id, out}, nil
}

// number copies signals, one a line, and gives each its id.
func number(to io.Writer, from io.Reader, id string) error {
	in, out := bufio.NewReader(from), bufio.NewWriter(to)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		// A canonical line has at least recorded_at. Others are none of ours.
		if rest, ok := bytes.CutPrefix(line, []byte(`{"`)); ok {
			fmt.Fprintf(out, `{"id":"%s-%d","`, id, n)
			line = rest
		}
		out.Write(line)
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			return err
		}
	}
}
