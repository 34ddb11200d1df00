package queue

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"spoolagent/spoolfiles"
)

// verb says what a transaction does.
type verb string

const (
	foldVerb    verb = "fold"    // appends the lines of the drops in work
	evictVerb   verb = "evict"   // overwrites the oldest lines
	drainVerb   verb = "drain"   // overwrites all lines, which tmp/reply-ID has
	returnVerb  verb = "return"  // rewrites the queue with control/ID.returning ahead
	compactVerb verb = "compact" // rewrites the queue without its blanks
)

// The states of a record, each as long as the others, since one overwrites the
// other.
const (
	pending = "pending "
	done    = "done    "
	void    = "void    " // it never began
)

const (
	headerSize  = 2048
	unknownBoot = "-"

	// keepRecord is up to what size a finished record keeps its bytes. A file
	// that keeps its blocks makes the sync of the next record cheap: no journal
	// entry is needed.
	keepRecord = 128 << 10
)

// record describes one transaction. Its exported fields are the JSON header.
type record struct {
	Verb verb   `json:"verb"`
	Seq  uint64 `json:"seq"`
	Boot string `json:"boot"`

	// Exact: the kernel moves the cursors. Else recovery goes by content.
	Exact bool `json:"exact"`

	Inode uint64 `json:"inode"` // of the queue

	// The queue's bytes from From to To are overwritten with blanks.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Signals is how many signals they hold.
	Signals int64 `json:"signals,omitempty"`

	Body   int64 `json:"body"`   // bytes of the lines to append
	Lead   int64 `json:"lead"`   // bytes at the beginning of the body that were not in the queue
	Blanks int   `json:"blanks"` // cells that overwrite
	Pieces int   `json:"pieces"` // cells that append, behind the former

	ID     string    `json:"id,omitempty"` // of the request or the reply
	Before Ledger    `json:"-"`            // the ledger before the transaction
	Ledger Ledger    `json:"-"`            // and after it
	Totals [2]totals `json:"totals"`       // both, in few bytes: see encode
	Sum    uint32    `json:"sum"`          // CRC-32C of old and body

	state string
}

// cell is one copy, in the byte order of the machine.
type cell struct {
	Cursor    int64 // how far into the record's file the copy has come
	From, End int64 // what it copies: this part of the record's file
	At        int64 // where it writes in the queue; of a piece, set when it begins
}

const cellSize = int(unsafe.Sizeof(cell{}))

func recordName(seq uint64) string { return "queue.record-" + strconv.FormatUint(seq%2, 10) }

func replyName(id string) string { return "reply-" + id }

// Where the parts of a record lie in its file.
func (r *record) old() int64       { return r.To - r.From }
func (r *record) oldAt() int64     { return headerSize }
func (r *record) bodyAt() int64    { return r.oldAt() + r.old() }
func (r *record) patternAt() int64 { return r.bodyAt() + r.Body }
func (r *record) cellsAt() int64 {
	size := int64(cellSize)
	return (r.patternAt() + r.patternSize() + size - 1) / size * size
}
func (r *record) cells() int { return r.Blanks + r.Pieces }

// sector is the unit that a disk writes whole.
const sector = 512

// blankChunk is the most that one cell overwrites. A small one keeps the pattern
// of a small record small.
func (r *record) blankChunk() int64 { return min(r.old(), max(r.old()/4, 1<<10), 64<<10) }

func (r *record) patternSize() int64 {
	if r.From == r.To {
		return 0
	}
	return r.blankChunk() + sector
}

// blanks are what n bytes from an offset of the queue on are overwritten with:
// spaces, and a line feed at every offset that is divisible by the size of a sector.
// Without the line feeds, a line of which a power cut leaves the middle blank could
// still be valid JSON.
func blanks(at, n int64) []byte {
	p := bytes.Repeat([]byte{' '}, int(n))
	for i := (sector - at%sector) % sector; i < n; i += sector {
		p[i] = '\n'
	}
	return p
}

// blankCells are the copies that overwrite the region. A copy starts in the
// pattern where the line feeds fall on the right offsets.
func (r *record) blankCells() (cells []cell) {
	for at := r.From; at < r.To; {
		n := min(r.blankChunk(), r.To-at)
		from := r.patternAt() + at%sector
		cells = append(cells, cell{Cursor: from, From: from, End: from + n, At: at})
		at += n
	}
	return cells
}

// castagnoli takes a good part of a millisecond to make, which a command that
// needs no checksum shall not wait for.
var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// totals are a ledger; its times in seconds since 1970.
type totals [10]int64

func totalsOf(l Ledger) totals {
	return totals{
		l.Folded, l.Returned, l.External, l.Drained, l.Evicted, l.Rejected, l.EvictedBefore, l.Queued,
		l.LastFoldAt.Unix(), l.LastDrainAt.Unix(),
	}
}

func (t totals) ledger() Ledger {
	return Ledger{
		Folded: t[0], Returned: t[1], External: t[2], Drained: t[3], Evicted: t[4], Rejected: t[5], EvictedBefore: t[6], Queued: t[7],
		LastFoldAt: time.Unix(t[8], 0).UTC(), LastDrainAt: time.Unix(t[9], 0).UTC(),
	}
}

// encode returns the header. What is of use in it lies in its first sector, which a
// disk writes whole, unless the numbers are huge.
func (r *record) encode() ([]byte, error) {
	r.Totals = [2]totals{totalsOf(r.Before), totalsOf(r.Ledger)}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	h := fmt.Appendf(make([]byte, 0, headerSize), "%s%08x %s", r.state, crc32.Checksum(text, castagnoli()), text)
	if len(h) >= headerSize {
		return nil, errors.New("the header of the record is too long")
	}
	h = append(h, bytes.Repeat([]byte{' '}, headerSize-1-len(h))...)
	return append(h, '\n'), nil
}

// decode parses a header; it returns nil for anything that is not one.
func decode(h []byte) *record {
	r := &record{}
	if len(h) != headerSize {
		return nil
	}
	r.state = string(h[:len(pending)])
	if r.state != pending && r.state != done && r.state != void {
		return nil
	}
	h = h[len(pending):]
	text := bytes.TrimRight(h[9:], " \n")
	if fmt.Sprintf("%08x ", crc32.Checksum(text, castagnoli())) != string(h[:9]) || json.Unmarshal(text, r) != nil {
		return nil
	}
	r.Before, r.Ledger = r.Totals[0].ledger(), r.Totals[1].ledger()
	const absurd = 2 * maxQueueSize
	for _, n := range []int64{r.From, r.To, r.Body, r.Lead, r.Signals, int64(r.Blanks), int64(r.Pieces)} {
		if n < 0 || n > absurd {
			return nil
		}
	}
	if r.From > r.To || r.Lead > r.Body ||
		r.ID != "" && !spoolfiles.ValidID(r.ID) || !r.Before.valid() || !r.Ledger.valid() {
		return nil
	}
	return r
}

// readRecords finds the newest transaction, and the ledger after it.
func (q *Queue) readRecords(h *held) (err error) {
	h.ledger = Ledger{}
	if h.last, err = q.newest(); h.last != nil {
		h.ledger = h.last.Ledger
	}
	return err
}

// newest returns the newest transaction, or nil.
func (q *Queue) newest() (last *record, err error) {
	for seq := range uint64(2) {
		r, err := q.readRecord(seq)
		if err != nil {
			return nil, err
		}
		if r != nil && (last == nil || r.Seq > last.Seq || r.Seq == last.Seq && last.Verb == "") {
			last = r
		}
	}
	return last, nil
}

// readRecord returns nil if the file for this seq has no valid header. A
// transaction whose record has not become whole never began: what is returned then
// has nothing but the ledger before it.
func (q *Queue) readRecord(seq uint64) (*record, error) {
	if q.irregular(recordName(seq), math.MaxUint64) {
		return nil, nil
	}
	f, err := q.sp.Root.OpenFile(recordName(seq), os.O_RDONLY)
	if err != nil {
		return nil, gone(err)
	}
	defer f.Close()
	header := make([]byte, headerSize)
	n, err := f.ReadAt(header, 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading record: %w", err)
	}
	r := decode(header[:n])
	if r == nil || r.Seq%2 != seq {
		return nil, nil
	}
	if r.state == pending {
		sum := crc32.New(castagnoli())
		m, err := io.Copy(sum, io.NewSectionReader(f, r.oldAt(), r.old()+r.Body))
		if err != nil {
			return nil, fmt.Errorf("reading record: %w", err)
		}
		if m != r.old()+r.Body || sum.Sum32() != r.Sum {
			r.state = void
		}
	}
	if r.state == void {
		r = &record{Seq: r.Seq - 1, Boot: r.Boot, Ledger: r.Before, state: done}
	}
	return r, nil
}

// irregular reports whether there is something of that name that we never
// leave: a link, a FIFO, another user's file, a file with more names than this.
func (q *Queue) irregular(name string, names uint64) bool {
	info, err := q.sp.Root.Lstat(name)
	return err == nil && (!info.Mode.IsRegular() || !info.Ours() || info.Links > names)
}

// openRecord opens the file of a record for writing. It is written in place,
// which must touch nobody else's file.
func (q *Queue) openRecord(seq uint64) (*os.File, error) {
	name := recordName(seq)
	if q.irregular(name, 1) {
		if err := q.setAside(q.sp.Root, name, "not a plain file of this user with one name"); err != nil {
			return nil, err
		}
	}
	return q.sp.Root.OpenFile(name, os.O_RDWR|os.O_CREATE)
}

// writeParts writes a record but for its header: what the queue has in the
// region that is to be overwritten, the body, the pattern and the cells. It
// sets the fields that depend on these.
func (t *transaction) writeParts(queue *os.File, body func(*pieceWriter) error) error {
	sum := crc32.New(castagnoli())
	out := bufio.NewWriterSize(io.NewOffsetWriter(t.f, t.oldAt()), bufferSize)
	pieces := &pieceWriter{to: io.MultiWriter(out, sum), at: t.bodyAt(), start: t.bodyAt(), end: t.bodyAt()}
	if _, err := io.CopyN(pieces.to, io.NewSectionReader(queue, t.From, t.old()), t.old()); err != nil {
		return err
	}
	if body != nil {
		if err := body(pieces); err != nil {
			return err
		}
	}
	pieces.cut()
	t.Body, t.Sum = pieces.at-t.bodyAt(), sum.Sum32()
	t.cells = t.blankCells()
	t.Blanks, t.Pieces = len(t.cells), len(pieces.cells)
	t.cells = append(t.cells, pieces.cells...)
	out.Write(blanks(0, t.patternSize()))
	out.Write(make([]byte, t.cellsAt()-t.patternAt()-t.patternSize()))
	if err := binary.Write(out, binary.NativeEndian, t.cells); err != nil {
		return err
	}
	return out.Flush()
}

// setState changes the state of a record that is in its file.
func (t *transaction) setState(state string) error {
	t.state = state
	_, err := t.f.WriteAt([]byte(state), 0)
	return err
}

// possible reports whether the cells are ones that copies can have moved: what
// is copied is within the record's parts, and not longer than a line can be.
func (t *transaction) possible() bool {
	return !slices.ContainsFunc(t.cells, func(c cell) bool {
		return c.From < t.bodyAt() || c.From > c.Cursor || c.Cursor > c.End || c.End > t.cellsAt() || c.At < 0 ||
			c.End-c.From > 2*maxLine
	})
}

// maxPiece is the step in which the kernel copies.
const maxPiece = 64 << 10

// pieceWriter writes a body and divides it into pieces of whole lines, each of
// at most maxPiece bytes, unless a line alone is longer.
type pieceWriter struct {
	to    io.Writer
	lines int64 // so far
	cells []cell

	// Offsets in the record's file: of what comes next, and of the piece under
	// way, which ends with the last whole line.
	at, start, end int64
}

func (w *pieceWriter) Write(p []byte) (int, error) {
	for text := range bytes.Lines(p) {
		w.at += int64(len(text))
		if text[len(text)-1] != '\n' {
			break
		}
		if w.at-w.start > maxPiece {
			w.cut()
		}
		w.lines++
		w.end = w.at
	}
	return w.to.Write(p)
}

// cut ends the piece under way, and makes a cell of it.
func (w *pieceWriter) cut() {
	if w.end > w.start {
		w.cells = append(w.cells, cell{Cursor: w.start, From: w.start, End: w.end})
		w.start = w.end
	}
}
