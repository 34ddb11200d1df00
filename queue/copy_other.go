//go:build !linux

package queue

import (
	"encoding/binary"
	"os"
)

// cursors are where a record's copies have come to.
type cursors struct {
	pos  []int64
	file *os.File
	base int64
}

// mapCursors prepares cursors that are moved by hand: r is not exact.
func mapCursors(redo *os.File, r *record) *cursors {
	r.exact = r.exact && len(r.copies) == 0
	return &cursors{file: redo, base: r.cursorsAt}
}

// arm takes the cursors from the record, which is written by now.
func (c *cursors) arm(r *record) { c.pos = append(c.pos[:0], r.cursors...) }

func (c *cursors) at(i int) int64 { return c.pos[i] }

// moved reports whether any copy has begun.
func (c *cursors) moved(r *record) bool {
	for i, s := range r.copies {
		if c.pos[i] != s.from {
			return true
		}
	}
	return false
}

// copy moves copy i on by at most n bytes, writing to the queue at to.
func (c *cursors) copy(i int, queue *os.File, to int64, redo *os.File, n int64) error {
	return c.copyByHand(i, queue, to, redo, n)
}

func (c *cursors) close() {}

func appendCursor(b []byte, n int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }
func parseCursor(b []byte) int64            { return int64(binary.LittleEndian.Uint64(b)) }

// preallocate does nothing here: the copy will tell if the disk is full.
func preallocate(*os.File, int64, int64) error { return nil }

func datasync(f *os.File) error { return f.Sync() }

// bootID is not known here: recovery goes by what the queue looks like.
func bootID() string { return "-" }
