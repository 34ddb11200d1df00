package queue

import (
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// FuzzRecord: whatever a record says, and whatever the queue and the record's
// parts have, recovery ends, and the drop that waits is delivered once. The
// header is a valid one, for a checksum keeps all others from being believed.
func FuzzRecord(f *testing.F) {
	line := signalAt(1) + "\n"
	verbs := []verb{foldVerb, evictVerb, drainVerb, returnVerb, compactVerb}
	for i := range verbs {
		f.Add(uint8(i), true, true, int64(0), int64(len(line)), int64(len(line)), int64(0), uint8(1), uint8(1), line+line+"\n   \n", line)
		f.Add(uint8(i), false, false, int64(3), int64(9), int64(5), int64(2), uint8(0), uint8(2), line, line+"{\n"+line)
	}
	f.Fuzz(func(t *testing.T, v uint8, exact, boot bool, from, to, body, lead int64, blanks, pieces uint8, parts, lines string) {
		if len(parts)+len(lines) > 64<<10 {
			return
		}
		sp := project(t)
		r := &record{
			Verb: verbs[int(v)%len(verbs)], Seq: 2, Boot: "another", Exact: exact, From: from, To: to,
			Body: body, Lead: lead, Blanks: int(blanks), Pieces: int(pieces), ID: "id", state: pending,
		}
		if boot {
			r.Boot = bootID()
		}
		size := int64(len(parts))
		if old := to - from; from >= 0 && old >= 0 && body >= 0 && old <= size && body <= size-old {
			r.Sum = crc32.Checksum([]byte(parts[:old+body]), castagnoli())
		}
		writeQueue(t, sp, lines)
		if info, err := sp.Root.Lstat(FileName); err == nil {
			r.Inode = info.Ino
		}
		header, err := r.encode()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(sp.Root.Path(), recordName(r.Seq)), append(header, parts...), 0o600))
		place(t, sp, "new.json", signalAt(77), longAgo)
		q := New(sp, options(0), nil)
		if _, err := q.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, n := range peek(t, q) {
			if n == 77 {
				got++
			}
		}
		if got != 1 {
			t.Errorf("the drop is %d times in the queue", got)
		}
		closes(t, q)
	})
}
