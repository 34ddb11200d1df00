package queue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// After a power cut the record is on the disk, but of the queue any part of the
// new content may be there, and the cursors may be old.
func TestPowerCut(t *testing.T) {
	line := func(name string) string { return signalLine(name) + "\n" }
	before := line("a") + line("b") + line("c")
	body := line("c") + line("d")
	shorter := line("e")
	for _, c := range []struct {
		name   string
		change change
		after  string
	}{
		{"append", appendLines(int64(len(before)), []byte(line("d"))), before + line("d")},
		{"replace", replaceLines(int64(len(before)), []byte(body)), body},
		{"replace by one line", replaceLines(int64(len(before)), []byte(shorter)), shorter},
		{"drain", replaceLines(int64(len(before)), nil), ""},
	} {
		for _, theirs := range []string{"", line("f"), signalLine("f")} {
			for cut := 0; cut < 2*len(before); cut += 7 {
				for _, cursors := range []bool{false, true} {
					name := fmt.Sprintf("%s, %d bytes of theirs, cut at %d, cursors %v", c.name, len(theirs), cut, cursors)
					sp := project(t)
					content, whole := halfWritten(before, c.change, cut)
					want := c.after
					if theirs != "" {
						// Strangers came after all had been written, so it was there.
						if !whole {
							sp.Close()
							continue
						}
						content += theirs
						want += theirs
					}
					r := &record{seq: 1, boot: "another", exact: true, before: int64(len(before)), trim: c.change.size,
						body: c.change.body, ledger: Ledger{Seq: 1}}
					data := encoded(t, r, spans(0, c.change.blank), c.change.at)
					if cursors {
						for i, s := range r.copies {
							copy(data[r.cursorsAt+8*int64(i):], appendCursor(nil, s.from+s.len))
						}
					}
					for file, text := range map[string]string{FileName: content, redoName: string(data)} {
						if err := os.WriteFile(filepath.Join(sp.Root.Path(), file), []byte(text), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					if err := New(sp, options(0)).Settle(context.Background()); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if got := readQueue(t, sp); got != want {
						t.Fatalf("%s:\n%q\nbecame\n%q, want\n%q", name, content, got, want)
					}
					if l, err := New(sp, options(0)).readLedger(); err != nil || l.Seq != 1 {
						t.Fatalf("%s: ledger %+v, %v", name, l, err)
					}
					sp.Close()
				}
			}
		}
	}
}

// halfWritten is the queue with the first cut bytes of a change's copies in
// it; whole if these are all.
func halfWritten(before string, c change, cut int) (content string, whole bool) {
	b := []byte(before)
	n := min(cut, int(c.blank))
	copy(b, strings.Repeat("\n", n))
	m := min(cut-n, len(c.body))
	if m > 0 {
		b = append(b, make([]byte, max(0, int(c.at)+m-len(b)))...)
		copy(b[c.at:], c.body[:m])
	}
	return string(b), n == int(c.blank) && m == len(c.body)
}

// A second plan is made whole, too, and what strangers have stays.
func TestPowerCutOfSecondPlan(t *testing.T) {
	ours := signalLine("a") + "\n"
	torn, theirs := ours[:9], signalLine("f")+"\n"
	for blanked := 0; blanked <= len(torn); blanked++ {
		sp := project(t)
		queue := strings.Repeat("\n", blanked) + torn[blanked:] + theirs
		r := &record{seq: 1, boot: "another", exact: true, again: true, torn: int64(len(torn)), body: []byte(ours),
			before: int64(len(queue)), trim: int64(len(queue) + len(ours)), ledger: Ledger{Seq: 1}}
		data := encoded(t, r, spans(0, r.torn), r.before)
		for file, text := range map[string]string{FileName: queue, redoName: string(data)} {
			if err := os.WriteFile(filepath.Join(sp.Root.Path(), file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := New(sp, options(0)).Settle(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.TrimLeft(readQueue(t, sp), "\n"), theirs+ours; got != want {
			t.Fatalf("%q became %q, want %q", queue, got, want)
		}
		sp.Close()
	}
}
