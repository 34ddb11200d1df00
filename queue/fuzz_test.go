package queue

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// sample is a record with all that one can have.
func sample() *record {
	return &record{
		seq: 3, boot: bootID(), exact: true, before: 40, trim: 14,
		ledger: Ledger{Folded: 2, Queued: 1, Evicted: 1, Seq: 3},
		body:   []byte("{\"a\":1}\n{\"b\"}\n"),
		moves: []move{
			{op: opReason, name: "a\nb.json", text: "why"},
			{op: opMove, dir: "incoming", name: "a\nb.json", id: spoolfiles.Identity{Ino: 7, Size: 8, MTime: -9}, toDir: "rejected", toName: "a\xff.json"},
			{op: opRemove, dir: "incoming", name: "c.json", id: spoolfiles.Identity{Ino: 1, Size: -1}},
		},
	}
}

func encoded(t testing.TB, r *record, blanks []span, at int64) []byte {
	t.Helper()
	data, err := r.encode(blanks, at)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func samples(t testing.TB) [][]byte {
	again := sample()
	again.again, again.torn, again.trim = true, 3, 54
	drain := sample()
	drain.body, drain.trim = nil, 0
	begun := spans(0, 40)
	begun[0].done = 11
	moves := sample()
	moves.body, moves.trim = nil, 40
	return [][]byte{
		encoded(t, sample(), spans(0, 40), 0),
		encoded(t, sample(), begun, 0),
		encoded(t, sample(), nil, 40),
		encoded(t, again, spans(10, 3), 40),
		encoded(t, drain, begun, 0),
		encoded(t, moves, nil, 0),
	}
}

func FuzzDecodeRedo(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s)
		f.Add(s[:len(s)-3])
		f.Add(s[:100])
	}
	f.Add([]byte(redoMagic + "00000000 0 0 0 9223372036854775807\n"))
	f.Add([]byte(redoMagic + "00000000 9223372036854775807 9223372036854775807 0 4096\n"))
	f.Add(make([]byte, 4096))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRedo(data)
		if err != nil {
			return
		}
		// What was accepted says the same after another turn.
		next := *r
		var blanks []span
		at := int64(0)
		for i, c := range r.copies {
			if i < len(r.blanks()) {
				blanks = append(blanks, span{c.at, c.len, r.cursors[i] - c.from})
			} else {
				at = c.at
			}
		}
		got, err := decodeRedo(encoded(t, &next, blanks, at))
		if err != nil {
			t.Fatalf("encoded again, it is refused: %v", err)
		}
		relative := func(r *record) record {
			c := *r
			c.copies, c.cursors = nil, nil
			for i, s := range r.copies {
				c.copies = append(c.copies, copyStep{s.at, s.from - r.bodyAt, s.len})
				if i < len(r.blanks()) { // a new record's body is yet to be copied
					c.cursors = append(c.cursors, r.cursors[i]-s.from)
				}
			}
			c.bodyAt, c.padAt, c.cursorsAt = 0, 0, 0
			c.body = bytes.Clone(r.body)
			c.ledger.LastFoldAt = c.ledger.LastFoldAt.Round(0)
			return c
		}
		a, b := relative(r), relative(got)
		if !a.ledger.LastFoldAt.Equal(b.ledger.LastFoldAt) {
			t.Errorf("last fold %v became %v", a.ledger.LastFoldAt, b.ledger.LastFoldAt)
		}
		a.ledger.LastFoldAt, b.ledger.LastFoldAt = time.Time{}, time.Time{}
		if len(a.body) == 0 {
			a.body, b.body = nil, nil
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%+v\nbecame\n%+v", a, b)
		}
	})
}

// resealed makes the checksum of a record right, if it is that far a record.
func resealed(data []byte) []byte {
	first, rest, ok := bytes.Cut(data, []byte("\n"))
	var sum uint32
	var head, body, pad, cursors int
	if n, _ := fmt.Sscanf(string(first), redoMagic+"%x %d %d %d %d", &sum, &head, &body, &pad, &cursors); !ok || n != 5 {
		return data
	}
	if head < 0 || body < 0 || head > len(rest) || body > len(rest)-head {
		return data
	}
	sum = crc32.Checksum(rest[:head+body], crc32.MakeTable(crc32.Castagnoli))
	return fmt.Appendf(nil, "%s%08x%s\n%s", redoMagic, sum, first[len(redoMagic)+8:], rest)
}

func FuzzRecover(f *testing.F) {
	line := signalLine("q1") + "\n"
	for _, s := range samples(f) {
		f.Add([]byte(line), s, []byte(`{"folded":1,"queued":1,"seq":2}`), true)
		f.Add([]byte("\n\n\n\n\n\n\n\n\n\n\n"+strings.Repeat(line, 3)), s, []byte(`{}`), false)
		f.Add([]byte{}, bytes.Replace(s, []byte(bootID()), []byte("another-boot-id-another-boot-id-1234"), 1), []byte(``), true)
	}
	f.Add([]byte("garbage\n"+line+"{\"torn"), []byte("garbage"), []byte("garbage"), false)
	f.Add([]byte(line), []byte(redoMagic), []byte(`{"seq":9}`), true)
	f.Add(make([]byte, 100), make([]byte, 5000), make([]byte, 10), false)
	f.Fuzz(func(t *testing.T, queue, redo, ledger []byte, seal bool) {
		if seal {
			redo = resealed(redo)
		}
		sp := project(t)
		root := sp.Root.Path()
		outside := filepath.Join(sp.Project, "outside")
		for path, data := range map[string][]byte{
			outside: []byte("mine"), queuePath(sp): queue,
			filepath.Join(root, redoName): redo, filepath.Join(root, ledgerName): ledger,
		} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want := wellFormed(queue)
		if r, err := decodeRedo(redo); err == nil {
			l, _ := parseLedger(ledger)
			idle := len(r.copies) > 0 && !r.again && r.boot == bootID() && r.exact && l.Seq < r.seq
			for i, c := range r.copies {
				idle = idle && r.cursors[i] == c.from
			}
			if l.Seq < r.seq && len(r.copies) > 0 && !idle {
				want = nil // it says what becomes of the queue
			}
		}
		q := New(sp, options(0))
		if err := q.Settle(context.Background()); err != nil {
			t.Fatalf("recovery: %v", err)
		}
		have := wellFormed([]byte(readQueue(t, sp)))
		for l, n := range want {
			if have[l] < n {
				t.Errorf("the line %q is gone", l)
			}
		}
		if _, err := decodeRedo(redo); len(redo) > 0 && err != nil && err != errTorn {
			if kept, _ := os.ReadFile(filepath.Join(sp.Rejected.Path(), redoName)); !bytes.Equal(kept, redo) {
				t.Errorf("the record that is none was not kept: %v", err)
			}
		}
		if data, err := os.ReadFile(outside); err != nil || string(data) != "mine" {
			t.Errorf("outside: %q, %v", data, err)
		}
		entries, err := os.ReadDir(sp.Project)
		if err != nil || len(entries) != 2 {
			t.Errorf("the project has %v, %v", entries, err)
		}
		// It is usable, and what was malformed goes its way.
		drop(t, sp, 5, "after")
		fold(t, q)
		closes(t, q)
		after := wellFormed([]byte(readQueue(t, sp)))
		for l, n := range have {
			if after[l] < n {
				t.Errorf("the line %q went with the next fold", l)
			}
		}
	})
}

// wellFormed counts the signals in a text, in their canonical form.
func wellFormed(text []byte) map[string]int {
	lines := map[string]int{}
	for line := range bytes.Lines(text) {
		if s, err := signal.ParseLine(line); err == nil {
			lines[string(s.AppendLine(nil))]++
		}
	}
	return lines
}

func FuzzScanLines(f *testing.F) {
	f.Add([]byte("\n \n" + signalLine("a") + "\n{\"bad\"}\n" + signalLine("b")))
	f.Add([]byte(signalLine("a") + "\n" + signalLine("b") + "\n"))
	f.Add([]byte(strings.Repeat("x\n", 250)))
	f.Add([]byte(strings.Repeat("x", 70<<10) + "\n" + signalLine("a")))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := map[string]int{}
		c, err := scanLines(bytes.NewReader(data), int64(len(data)), func(s signal.Signal, line []byte) error {
			got[string(s.AppendLine(nil))]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := wellFormed(data)
		if !maps.Equal(got, want) {
			t.Errorf("signals %v, want %v", got, want)
		}
		off, count := int64(0), int64(0)
		var bad []badLine
		var starts []int64
		canonical := true
		for i, raw := range bytes.Split(data, []byte("\n")) {
			s, err := signal.ParseLine(raw)
			last := off+int64(len(raw)) == int64(len(data))
			switch {
			case err == nil:
				count++
				starts = append(starts, off)
				canonical = canonical && !last && string(s.AppendLine(nil)) == string(raw)
			case err == signal.ErrBlank:
				canonical = canonical && last && len(raw) == 0
			default:
				canonical = false
				bad = append(bad, badLine{off, int64(len(raw)), i + 1, err.Error()})
			}
			off += int64(len(raw)) + 1
		}
		if c.count != count || c.nbad != int64(len(bad)) {
			t.Errorf("%d signals and %d malformed, want %d and %d", c.count, c.nbad, count, len(bad))
		}
		if torn := len(data) > 0 && data[len(data)-1] != '\n'; c.torn != torn {
			t.Errorf("torn: %v", c.torn)
		}
		if kept := bad[max(0, len(bad)-spoolfiles.MaxRejects):]; len(kept) != len(c.bad) || len(kept) > 0 && !reflect.DeepEqual(kept, c.bad) {
			t.Errorf("malformed %v, want %v", c.bad, kept)
		}
		if canonical != (c.starts != nil) || canonical && fmt.Sprint(starts) != fmt.Sprint(c.starts) {
			t.Errorf("starts %v, want %v (%v)", c.starts, starts, canonical)
		}
	})
}
