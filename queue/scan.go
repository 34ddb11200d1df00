package queue

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// maxLine is the most bytes that a line of the queue can have and still be a
// signal. Ours are far shorter; it bounds what a hostile queue makes us hold.
const maxLine = 16 << 20

// bufferSize holds most files whole, and still few pages, of which a command that
// runs for a moment has to touch each.
const bufferSize = 32 << 10

// line is one line of JSON Lines.
type line struct {
	number int   // from 1
	off    int64 // of its first byte
	len    int64 // without its line feed
	torn   bool  // it has no line feed
	text   []byte
	signal signal.Signal
	err    error // why it is no signal: signal.ErrBlank, or what is malformed
}

// canonical appends the line as the queue has it if all is well.
func (l *line) canonical(to []byte) []byte { return append(l.signal.AppendLine(to), '\n') }

// errEnough, from the function that scan calls, ends the scan without an error.
var errEnough = errors.New("enough")

// scan calls fn for each line. The line is valid during the call only.
func scan(r io.Reader, fn func(*line) error) error {
	in := bufio.NewReaderSize(r, bufferSize)
	var long []byte
	for l := (line{number: 1}); ; l.number++ {
		text, err := in.ReadSlice('\n')
		l.len = int64(len(text))
		if err == bufio.ErrBufferFull {
			long = append(long[:0], text...)
			for err == bufio.ErrBufferFull {
				text, err = in.ReadSlice('\n')
				l.len += int64(len(text))
				if len(long) < maxLine {
					long = append(long, text...)
				}
			}
			text = long
		}
		if err != nil && err != io.EOF {
			return err
		}
		if l.len == 0 {
			return nil
		}
		size := l.len
		if l.torn = err == io.EOF; !l.torn {
			l.len--
		}
		l.text = bytes.TrimSuffix(text, []byte{'\n'})
		if int64(len(l.text)) < l.len {
			l.err = fmt.Errorf("a line of %d bytes, more than the limit of %d", l.len, maxLine)
		} else {
			l.signal, l.err = signal.ParseLine(l.text)
		}
		if err := fn(&l); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
		l.off += size
	}
}

// content is what a queue has.
type content struct {
	count int64 // signals
	first int64 // the offset of the first one
	bad   int64 // malformed lines
	torn  bool  // the last line has no line feed
}

// end is up to where all is overwritten. The last line feed may stay: it ends the
// blanks.
func (c content) end(size int64) int64 {
	if size > 0 && !c.torn {
		size--
	}
	return size
}

func contentOf(f io.ReaderAt, size int64) (content, error) {
	c := content{first: size}
	err := scan(io.NewSectionReader(f, 0, size), func(l *line) error {
		c.torn = l.torn
		switch {
		case l.err == signal.ErrBlank:
		case l.err != nil:
			c.bad++
		default:
			if c.count++; c.count == 1 {
				c.first = l.off
			}
		}
		return nil
	})
	return c, err
}

// Shape is what a Queue remembers of the file between two changes. Its zero
// value remembers nothing.
type Shape struct {
	known bool
	id    spoolfiles.Identity
	tail  uint32 // checksum of the last bytes: the clock of a file system is coarse
	content
}

func tailSum(f *os.File, size int64) (uint32, error) {
	buf := make([]byte, min(size, 4<<10))
	if _, err := f.ReadAt(buf, size-int64(len(buf))); err != nil {
		return 0, err
	}
	return crc32.ChecksumIEEE(buf), nil
}

// inspect returns what the queue has, from memory if it is still the same.
func (q *Queue) inspect(h *held) (content, error) {
	if q.shape.known && q.shape.id == h.info.Identity {
		if sum, err := tailSum(h.f, h.info.Size); err == nil && sum == q.shape.tail {
			return q.shape.content, nil
		}
	}
	c, err := contentOf(h.f, h.info.Size)
	if err == nil {
		q.remember(h, c, h.info.Size)
	}
	return c, err
}

// account returns what the queue has, and the ledger with what other programs
// have done in it.
func (q *Queue) account(h *held) (Ledger, content, error) {
	c, err := q.inspect(h)
	l := h.ledger
	l.balance(c.count)
	return l, c, err
}

// remember keeps what the queue has, unless its size shows that somebody else, who
// takes no lock, has written to it meanwhile.
func (q *Queue) remember(h *held, c content, size int64) {
	sum, err := tailSum(h.f, h.info.Size)
	known := err == nil && h.info.Size == size && !c.torn
	*q.shape = Shape{known: known, id: h.info.Identity, tail: sum, content: c}
}

// signalsEnd is the offset after the first n signals that come from off on.
func signalsEnd(f io.ReaderAt, off, size, n int64) (end int64, err error) {
	err = scan(io.NewSectionReader(f, off, size-off), func(l *line) error {
		if l.err == nil {
			n--
		}
		if end = off + l.off + l.len + 1; n == 0 {
			return errEnough
		}
		return nil
	})
	return end, err
}
