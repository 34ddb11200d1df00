package queue

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"unicode"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// maxLine is the most bytes that a line of the queue can have and still be a
// signal. Ours are far shorter; it bounds what a hostile queue makes us hold.
const maxLine = 16 << 20

// content is what a queue, or a reply, has.
type content struct {
	count int64     // signals
	bad   []badLine // lines that are none, the last of them: as many as rejected keeps
	nbad  int64     // how many these are in all
	torn  bool      // the last line has no line feed

	// starts are where the lines begin, if all of them are canonical and
	// there are not too many to remember.
	starts []int64
}

// maxStarts bounds what is remembered of a queue without a cap.
const maxStarts = 1 << 16

type badLine struct {
	off, len int64 // without the line feed
	number   int   // from 1
	reason   string
}

// scanLines reads size bytes of JSON Lines and calls each for every signal.
// line is only valid during the call, and without its line feed.
func scanLines(r io.ReaderAt, size int64, each func(s signal.Signal, line []byte) error) (content, error) {
	var bad []badLine
	c, err := scanAll(r, size, each, func(b badLine) {
		// A hostile queue may have nothing else, and hundreds of millions.
		if len(bad) == 2*spoolfiles.MaxRejects {
			bad = append(bad[:0], bad[spoolfiles.MaxRejects:]...)
		}
		bad = append(bad, b)
	})
	c.bad = bad[max(0, len(bad)-spoolfiles.MaxRejects):]
	return c, err
}

// scanAll is scanLines, but also calls malformed for every line that is no
// signal, and keeps none.
func scanAll(r io.ReaderAt, size int64, each func(s signal.Signal, line []byte) error, malformed func(badLine)) (content, error) {
	c := content{starts: make([]int64, 0, 128)}
	canonical := true
	var long, want []byte
	in := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10)
	off := int64(0)
	for number := 1; ; number++ {
		line, length, err := readLine(in, &long)
		if err != nil && err != io.EOF {
			return content{}, err
		}
		if length == 0 && err == io.EOF {
			break
		}
		start := off
		off += length
		c.torn = err == io.EOF
		if !c.torn {
			length--
		}
		line = bytes.TrimSuffix(line, []byte{'\n'})
		s, perr := parseLine(line, length)
		switch {
		case perr == signal.ErrBlank:
			canonical = false
		case perr != nil:
			c.nbad++
			malformed(badLine{start, length, number, perr.Error()})
			canonical = false
		default:
			c.count++
			if canonical {
				want = s.AppendLine(want[:0])
				canonical = bytes.Equal(want, line) && len(c.starts) < maxStarts
				c.starts = append(c.starts, start)
			}
			if err := each(s, line); err != nil {
				return content{}, err
			}
		}
		if c.torn {
			break
		}
	}
	if !canonical || c.torn {
		c.starts = nil
	}
	return c, nil
}

func parseLine(line []byte, length int64) (signal.Signal, error) {
	if int64(len(line)) < length {
		return signal.Signal{}, fmt.Errorf("a line of %d bytes, more than the limit of %d", length, maxLine)
	}
	return signal.ParseLine(line)
}

// readLine reads one line with its line feed. Of a line above maxLine it
// returns the start, and its whole length.
func readLine(in *bufio.Reader, long *[]byte) (line []byte, length int64, err error) {
	line, err = in.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return line, int64(len(line)), err
	}
	*long = append((*long)[:0], line...)
	length = int64(len(line))
	for err == bufio.ErrBufferFull {
		line, err = in.ReadSlice('\n')
		length += int64(len(line))
		if len(*long) < maxLine {
			*long = append(*long, line...)
		}
	}
	return *long, length, err
}

// shape is what the queue looked like when we last let go of it, so that the
// next fold need not read it again if nobody has touched it since.
type shape struct {
	known bool
	id    spoolfiles.Identity
	tail  uint32 // checksum of the last bytes: the clock of a file system is coarse
	content
}

const tailSize = 4 << 10

func tailSum(f *os.File, size int64) (uint32, error) {
	buf := make([]byte, min(size, tailSize))
	if _, err := f.ReadAt(buf, size-int64(len(buf))); err != nil {
		return 0, err
	}
	return crc32.Checksum(buf, castagnoli()), nil
}

// look returns what the queue has, from memory if it is still the same.
func (q *Queue) look(h *held) (content, error) {
	if q.shape.known && q.shape.id == h.info.Identity {
		if sum, err := tailSum(h.f, h.info.Size); err == nil && sum == q.shape.tail {
			return q.shape.content, nil
		}
	}
	c, err := scanLines(h.f, h.info.Size, func(signal.Signal, []byte) error { return nil })
	if err != nil {
		return content{}, fmt.Errorf("reading queue %s: %w", q.path(FileName), err)
	}
	return c, nil
}

// remember keeps what the queue has now, after a change of ours.
func (q *Queue) remember(h *held, c content) error {
	info, err := q.sp.Root.Lstat(FileName)
	if err != nil {
		return err
	}
	h.info = info
	sum, err := tailSum(h.f, info.Size)
	q.shape = shape{known: err == nil, id: info.Identity, tail: sum, content: c}
	return nil
}

// lastLines returns the last n signals of the queue as canonical lines.
func (q *Queue) lastLines(h *held, c content, n int64) ([]byte, error) {
	if n <= 0 {
		return nil, nil
	}
	if c.starts != nil {
		from := c.starts[c.count-n]
		buf := make([]byte, h.info.Size-from)
		if _, err := h.f.ReadAt(buf, from); err != nil {
			return nil, fmt.Errorf("reading queue %s: %w", q.path(FileName), err)
		}
		return buf, nil
	}
	var lines []byte
	skip := c.count - n
	_, err := scanLines(h.f, h.info.Size, func(s signal.Signal, _ []byte) error {
		if skip--; skip < 0 {
			lines = append(s.AppendLine(lines), '\n')
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading queue %s: %w", q.path(FileName), err)
	}
	return lines, nil
}

// startsOf finds where the lines begin in what is all canonical lines.
func startsOf(lines []byte, at int64) (starts []int64) {
	for off := 0; off < len(lines); {
		starts = append(starts, at+int64(off))
		off += bytes.IndexByte(lines[off:], '\n') + 1
	}
	return starts
}

// skipLines returns lines without its first n.
func skipLines(lines []byte, n int64) []byte {
	for ; n > 0; n-- {
		lines = lines[bytes.IndexByte(lines, '\n')+1:]
	}
	return lines
}

// setAsideLines copies lines that are no signals to tmp, from where the moves
// that it returns bring them to rejected.
func (q *Queue) setAsideLines(from io.ReaderAt, where string, bad []badLine) (moves []move, err error) {
	for _, b := range bad {
		name := "line-" + spoolfiles.NewID()
		f, err := q.sp.Tmp.Create(name)
		if err != nil {
			return nil, fmt.Errorf("setting aside a malformed line: %w", err)
		}
		_, err = io.Copy(f, io.NewSectionReader(from, b.off, b.len))
		if err == nil && q.opt.Fsync {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			q.sp.Tmp.Remove(name)
			return nil, fmt.Errorf("setting aside a malformed line: %w", err)
		}
		info, err := q.sp.Tmp.Lstat(name)
		if err != nil {
			return nil, err
		}
		moves = append(moves,
			move{op: opReason, name: name, text: oneLine(fmt.Sprintf("line %d of %s: %s", b.number, where, b.reason))},
			move{op: opMove, dir: "tmp", name: name, id: info.Identity, toDir: "rejected", toName: name})
	}
	return moves, nil
}

// oneLine makes a reason fit for a line of a file or of a log, whatever
// hostile name or content has got into it.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
	const enough = 500
	if len(s) > enough {
		s = strings.ToValidUTF8(s[:enough], "") + "..."
	}
	return s
}
