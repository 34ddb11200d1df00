package queue

import (
	"io"
	"os"
)

// copyByHand is a copy whose cursor we move ourselves, after it.
func (c *cursors) copyByHand(i int, queue *os.File, to int64, redo *os.File, n int64) error {
	buf := make([]byte, min(n, 1<<20))
	if _, err := redo.ReadAt(buf, c.pos[i]); err != nil && err != io.EOF {
		return err
	}
	// Counted as begun even if the write fails: part of it may be there.
	m, err := queue.WriteAt(buf, to)
	c.pos[i] += int64(m)
	if _, cerr := c.file.WriteAt(appendCursor(nil, c.pos[i]), c.base+8*int64(i)); err == nil {
		err = cerr
	}
	return err
}
