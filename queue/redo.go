package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
	"sync"

	"spoolagent/spoolfiles"
)

// The redo record, queue.redo, is text for as long as it can be:
//
//	spool-redo 1 CRC32C HEAD BODY PAD CURSORS
//	HEAD bytes: lines, see below
//	BODY bytes: the lines that the queue is to get
//	PAD line feeds: what old lines are overwritten with
//	from offset CURSORS on (0 without copies): for each copy, 8 bytes,
//	native-endian: how far into this file it has come, or its start
//
// CRC32C is over head and body, in hexadecimal; the numbers are decimal. The
// head's lines:
//
//	seq N                                       of the ledger that this leads to
//	boot ID                                     the kernel's boot_id, or -
//	exact BOOL                                  cursors are moved by the kernel
//	again TORN                                  only in the second plan of a change, see replan
//	queue SIZE                                  of the queue before
//	copy AT FROM LENGTH                         overwrite the queue at AT with what stands at FROM here
//	trim SIZE                                   of the queue after
//	ledger JSON                                 after
//	remove DIR "NAME" INO SIZE MTIME            a file, if it is still that one
//	move DIR "NAME" INO SIZE MTIME DIR "NAME"   likewise
//	reason "NAME" "TEXT"                        write rejected/NAME.reason
//
// Between transactions the file is absent, empty, or begins with a line feed.
//
// A record with copies is committed when the first cursor has moved, one
// without copies, or with "again", when it is whole.
const redoName = "queue.redo"

const redoMagic = "spool-redo 1 "

// castagnoli takes a good part of a millisecond to make, which a command that
// needs no checksum shall not wait for.
var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

type record struct {
	seq    uint64
	boot   string
	exact  bool
	before int64
	copies []copyStep // the blanking ones first, end to end; then that of the body
	trim   int64
	again  bool  // a second plan: the change had begun under the first
	torn   int64 // of which this much of the body's text stood in the queue, cut off; it is what gets blanked
	ledger Ledger
	moves  []move

	body []byte
	// Where things stand in the file.
	bodyAt, padAt, cursorsAt int64
	cursors                  []int64
}

// copyStep overwrites the queue at at with len bytes of the record from from.
type copyStep struct{ at, from, len int64 }

// move is what happens to one file outside the queue.
type move struct {
	op       moveOp
	dir      string // of the spool
	name     string
	id       spoolfiles.Identity
	toDir    string
	toName   string
	text     string
	unlooked bool // was listed a moment ago: need not be looked at again
}

type moveOp string

const (
	opRemove moveOp = "remove"
	opMove   moveOp = "move"
	opReason moveOp = "reason"
)

// padChunk is the most that one copy blanks, and so the padding of a record:
// larger queues are blanked in several copies from the same padding.
const padChunk = 1 << 20

// span is a piece of the queue to be blanked, of which the first done bytes
// have been.
type span struct{ at, len, done int64 }

// spans are the pieces that blank n bytes at at.
func spans(at, n int64) (s []span) {
	for end := at + n; at < end; at += padChunk {
		s = append(s, span{at: at, len: min(padChunk, end-at)})
	}
	return s
}

// encode lays the record out, and sets where things stand in it.
func (r *record) encode(blanks []span, bodyTo int64) ([]byte, error) {
	ledger, err := json.Marshal(r.ledger)
	if err != nil {
		return nil, err
	}
	// Offsets in the head are relative to the start of the body, so that the
	// head's own length does not matter to them.
	pad := int64(0)
	r.copies, r.cursors = nil, nil
	for _, b := range blanks {
		pad = max(pad, b.len)
		r.copies = append(r.copies, copyStep{b.at, int64(len(r.body)), b.len})
	}
	if len(r.body) > 0 {
		r.copies = append(r.copies, copyStep{bodyTo, 0, int64(len(r.body))})
	}

	h := make([]byte, 0, 512+96*len(r.moves))
	h = fmt.Appendf(h, "seq %d\nboot %s\nexact %t\nqueue %d\n", r.seq, r.boot, r.exact, r.before)
	if r.again {
		h = fmt.Appendf(h, "again %d\n", r.torn)
	}
	for _, c := range r.copies {
		h = fmt.Appendf(h, "copy %d %d %d\n", c.at, c.from, c.len)
	}
	h = fmt.Appendf(h, "trim %d\nledger %s\n", r.trim, ledger)
	for _, m := range r.moves {
		h = m.append(h)
	}

	sum := crc32.Update(crc32.Checksum(h, castagnoli()), castagnoli(), r.body)
	// The first line names the offset of the cursors, which depends on the
	// first line's length: so it is padded to a fixed one.
	const firstLine = 96
	r.bodyAt = firstLine + int64(len(h))
	r.padAt = r.bodyAt + int64(len(r.body))
	r.cursorsAt = 0
	if len(r.copies) > 0 {
		// Aligned for the kernel to write to, and in the same page as the rest
		// where that is small: then a sync is one block.
		r.cursorsAt = (r.padAt + pad + 7) / 8 * 8
	}
	first := fmt.Sprintf("%s%08x %d %d %d %d", redoMagic, sum, len(h), len(r.body), pad, r.cursorsAt)
	if len(first) >= firstLine || r.padAt > maxRedoSize-2*padChunk {
		return nil, errors.New("the change is too large for a redo record")
	}

	out := make([]byte, 0, max(r.padAt, r.cursorsAt+8*int64(len(r.copies))))
	out = append(out, first...)
	out = append(out, bytes.Repeat([]byte{' '}, firstLine-1-len(first))...)
	out = append(out, '\n')
	out = append(out, h...)
	out = append(out, r.body...)
	for i := range r.copies {
		r.copies[i].from += r.bodyAt
		r.cursors = append(r.cursors, r.copies[i].from)
		if i < len(blanks) {
			r.cursors[i] += blanks[i].done
		}
	}
	if len(r.copies) > 0 {
		out = append(out, bytes.Repeat([]byte{'\n'}, int(r.cursorsAt-r.padAt))...)
		for _, c := range r.cursors {
			out = appendCursor(out, c)
		}
	}
	return out, nil
}

func (m *move) append(h []byte) []byte {
	h = append(h, m.op...)
	if m.op == opReason {
		h = append(h, ' ')
		h = strconv.AppendQuote(h, m.name)
		h = append(h, ' ')
		h = strconv.AppendQuote(h, m.text)
		return append(h, '\n')
	}
	h = append(h, ' ')
	h = append(h, m.dir...)
	h = append(h, ' ')
	h = strconv.AppendQuote(h, m.name)
	h = append(h, ' ')
	h = strconv.AppendUint(h, m.id.Ino, 10)
	h = append(h, ' ')
	h = strconv.AppendInt(h, m.id.Size, 10)
	h = append(h, ' ')
	h = strconv.AppendInt(h, m.id.MTime, 10)
	if m.op == opMove {
		h = append(h, ' ')
		h = append(h, m.toDir...)
		h = append(h, ' ')
		h = strconv.AppendQuote(h, m.toName)
	}
	return append(h, '\n')
}

// errTorn: the record was never finished, so nothing was done by it.
var errTorn = errors.New("unfinished redo record")

// decodeRedo parses and checks a record. Everything in it is taken for hostile
// but what cannot do harm within the spool.
func decodeRedo(data []byte) (*record, error) {
	first, rest, ok := bytes.Cut(data, []byte("\n"))
	if !ok || !bytes.HasPrefix(first, []byte(redoMagic)) {
		if n := min(len(data), len(redoMagic)); string(data[:n]) == redoMagic[:n] && !ok || len(data) > 0 && isVoid(data[:1]) {
			return nil, errTorn
		}
		return nil, errors.New("not a redo record")
	}
	f := scanner{fields: strings.Fields(string(first[len(redoMagic):]))}
	sum := f.hex()
	headLen, bodyLen, padLen, cursorsAt := f.int(), f.int(), f.int(), f.int()
	if err := f.end(); err != nil {
		return nil, fmt.Errorf("redo record's first line: %w", err)
	}
	if torn(data, headLen, bodyLen, cursorsAt) {
		return nil, errTorn
	}
	if headLen > int64(len(rest)) || bodyLen > int64(len(rest))-headLen {
		return nil, errTorn
	}
	head, body := rest[:headLen], rest[headLen:headLen+bodyLen]
	if crc32.Update(crc32.Checksum(head, castagnoli()), castagnoli(), body) != sum {
		// Neither a head nor a body ends in a blank line.
		if written := rest[:headLen+bodyLen]; len(written) > 1 && isVoid(written[len(written)-2:]) {
			return nil, errTorn
		}
		return nil, errors.New("redo record's checksum is wrong")
	}
	r := &record{
		body:      body,
		bodyAt:    int64(len(first)) + 1 + headLen,
		cursorsAt: cursorsAt,
	}
	r.padAt = r.bodyAt + bodyLen
	if err := r.parseHead(string(head)); err != nil {
		return nil, fmt.Errorf("redo record: %w", err)
	}
	if padLen > padChunk {
		return nil, errors.New("redo record: too much padding")
	}
	if err := r.check(padLen); err != nil {
		return nil, fmt.Errorf("redo record: %w", err)
	}
	if len(r.copies) == 0 {
		return r, nil
	}
	if cursorsAt < r.padAt+padLen || cursorsAt%8 != 0 {
		return nil, errors.New("redo record: cursors in the wrong place")
	}
	if cursorsAt > int64(len(data))-8*int64(len(r.copies)) {
		return nil, errTorn
	}
	if len(bytes.TrimLeft(data[r.padAt:r.padAt+padLen], "\n")) > 0 {
		return nil, errors.New("redo record: bad padding")
	}
	for i, c := range r.copies {
		cur := parseCursor(data[cursorsAt+8*int64(i):])
		if cur < c.from || cur > c.from+c.len {
			return nil, errors.New("redo record: cursor out of range")
		}
		r.cursors = append(r.cursors, cur)
	}
	return r, nil
}

// torn reports whether the record's last bytes, the cursors, have not been
// written.
func torn(data []byte, headLen, bodyLen, cursorsAt int64) bool {
	return cursorsAt <= int64(len(data))-8 && cursorsAt > headLen+bodyLen && isVoid(data[cursorsAt:cursorsAt+8])
}

// isVoid reports whether these are bytes that the file had before a record was
// written: zeros, as a file has where nothing was, or a cleared record's line
// feeds.
func isVoid(b []byte) bool {
	return len(bytes.Trim(b, "\x00")) == 0 || len(bytes.Trim(b, "\n")) == 0
}

// keepRedo is up to what size, in bytes, a record is cleared by overwriting.
const keepRedo = 64 << 10

// clear voids the record in the file. One of usual size is overwritten, not
// cut off, so that the file keeps its blocks: then the next record's fdatasync
// waits for the data alone, and not for the file system's journal, which takes
// several times as long.
func (r *record) clear(redo *os.File) error {
	size := r.padAt
	if n := int64(len(r.copies)); n > 0 {
		size = r.cursorsAt + 8*n
	}
	if size > keepRedo {
		return redo.Truncate(0)
	}
	_, err := redo.WriteAt(bytes.Repeat([]byte{'\n'}, int(size)), 0)
	return err
}

// check makes sure that the steps are ones that encode could have written: all
// that comes after relies on it.
func (r *record) check(padLen int64) error {
	blanks := r.copies
	end := r.before
	if n := len(r.copies); len(r.body) > 0 {
		if n == 0 || r.copies[n-1].from != r.bodyAt || r.copies[n-1].len != int64(len(r.body)) || r.copies[n-1].at > r.before {
			return errors.New("its body is not copied")
		}
		blanks, end = r.copies[:n-1], max(end, r.copies[n-1].at+int64(len(r.body)))
	}
	at := int64(0)
	for i, c := range blanks {
		if i == 0 && r.torn > 0 {
			at = c.at
		}
		if c.at != at || c.from != r.padAt || c.len < 1 || c.len > padLen || c.len > r.before-at {
			return fmt.Errorf("it overwrites %d bytes at %d", c.len, c.at)
		}
		at += c.len
	}
	if r.before > maxQueueSize || r.trim > end {
		return errors.New("sizes out of range")
	}
	if r.torn > 0 && (r.torn != r.blankTotal() || r.torn > int64(len(r.text()))) {
		return errors.New("it mends what is not torn")
	}
	return nil
}

// text is the body but for line feeds that only keep it from what is before it.
func (r *record) text() []byte { return bytes.TrimLeft(r.body, "\n") }

func (r *record) parseHead(head string) error {
	seen := map[string]int{}
	for line := range strings.Lines(head) {
		line = strings.TrimSuffix(line, "\n")
		key, args, _ := strings.Cut(line, " ")
		seen[key]++
		var f scanner
		switch key {
		case "ledger":
			l, err := parseLedger([]byte(args))
			if err != nil {
				return err
			}
			r.ledger = l
			continue
		case "remove", "move", "reason":
			m, err := parseMove(moveOp(key), args)
			if err != nil {
				return fmt.Errorf("line %q: %w", line, err)
			}
			r.moves = append(r.moves, m)
			continue
		}
		f.fields = strings.Fields(args)
		switch key {
		case "seq":
			r.seq = uint64(f.int())
		case "boot":
			r.boot = f.next()
		case "exact":
			r.exact = f.next() == "true"
		case "queue":
			r.before = f.int()
		case "copy":
			c := copyStep{f.int(), f.int(), f.int()}
			const absurd = 1 << 50
			if f.err == nil && (c.at > absurd || c.len > absurd || c.from > absurd) {
				return fmt.Errorf("line %q: out of range", line)
			}
			c.from += r.bodyAt
			r.copies = append(r.copies, c)
		case "again":
			r.again, r.torn = true, f.int()
		case "trim":
			r.trim = f.int()
		default:
			return fmt.Errorf("line %q: unknown", line)
		}
		if err := f.end(); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
	}
	for _, key := range []string{"seq", "boot", "exact", "queue", "trim", "ledger"} {
		if seen[key] != 1 {
			return fmt.Errorf("%d lines of %q", seen[key], key)
		}
	}
	return nil
}

func parseMove(op moveOp, args string) (m move, err error) {
	m.op = op
	f := scanner{rest: args}
	if op == opReason {
		m.name, m.text = f.quoted(), f.quoted()
	} else {
		m.dir = f.word()
		m.name = f.quoted()
		m.id.Ino, _ = strconv.ParseUint(f.word(), 10, 64)
		m.id.Size, _ = strconv.ParseInt(f.word(), 10, 64)
		m.id.MTime, _ = strconv.ParseInt(f.word(), 10, 64)
		if op == opMove {
			m.toDir, m.toName = f.word(), f.quoted()
		}
	}
	if f.err == nil && strings.TrimSpace(f.rest) != "" {
		f.err = errors.New("too long")
	}
	valid := validName(m.name, op == opReason) && (op != opMove || validName(m.toName, m.toDir == "rejected"))
	if f.err == nil && !valid {
		f.err = errors.New("not a plain file name")
	}
	return m, f.err
}

// validName keeps a hostile record from holding everything up with a move that
// can never be made. A reject leaves room for the name of its reason.
func validName(name string, reject bool) bool {
	longest := 255
	if reject {
		longest -= len(spoolfiles.ReasonSuffix)
	}
	return spoolfiles.ValidName(name) && len(name) <= longest
}

// scanner takes a line apart; the first error sticks.
type scanner struct {
	fields []string // of a line of plain fields
	rest   string   // of a line with quoted names
	err    error
}

func (f *scanner) next() string {
	if len(f.fields) == 0 {
		f.fail(errors.New("too short"))
		return ""
	}
	s := f.fields[0]
	f.fields = f.fields[1:]
	return s
}

func (f *scanner) int() int64 {
	n, err := strconv.ParseInt(f.next(), 10, 64)
	if err == nil && n < 0 {
		err = errors.New("negative")
	}
	f.fail(err)
	return n
}

func (f *scanner) hex() uint32 {
	n, err := strconv.ParseUint(f.next(), 16, 32)
	f.fail(err)
	return uint32(n)
}

func (f *scanner) word() string {
	w, rest, _ := strings.Cut(strings.TrimLeft(f.rest, " "), " ")
	f.rest = rest
	if w == "" {
		f.fail(errors.New("too short"))
	}
	return w
}

func (f *scanner) quoted() string {
	q, err := strconv.QuotedPrefix(strings.TrimLeft(f.rest, " "))
	if err != nil {
		f.fail(err)
		return ""
	}
	f.rest = strings.TrimLeft(f.rest, " ")[len(q):]
	s, err := strconv.Unquote(q)
	f.fail(err)
	return s
}

func (f *scanner) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *scanner) end() error {
	if f.err == nil && len(f.fields) > 0 {
		f.err = errors.New("too long")
	}
	return f.err
}
