package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"spoolagent/spoolfiles"
)

// Before version 0.2 the transaction under way was in queue.redo, and the
// ledger in ledger.json. Both are taken over once, and removed.
const (
	legacyRedo   = "queue.redo"
	legacyLedger = "ledger.json"
	maxLegacy    = 512 << 20 // bytes
)

// legacyLeft reports whether the former version has left something.
func (q *Queue) legacyLeft(last *record) (bool, error) {
	info, err := q.sp.Root.Lstat(legacyRedo)
	if gone(err) != nil || err == nil && info.Size > 0 {
		return true, gone(err)
	}
	if last != nil {
		return false, nil
	}
	return exists(q.sp.Root, legacyLedger)
}

// migrate takes over the ledger, and an unfinished transaction as after a reboot:
// its lines that the queue lacks become drops. So do those of a reply that was not
// published. It may be done again.
func (r *reconciliation) migrate() error {
	sp := r.q.sp
	var l struct {
		Ledger
		Seq uint64 `json:"seq"`
	}
	if r.h.last == nil {
		data, _, err := sp.Root.ReadFile(legacyLedger, 64<<10)
		if err == nil && json.Unmarshal(data, &l) == nil && l.Ledger.valid() {
			r.h.ledger = l.Ledger
		}
	}
	data, _, err := sp.Root.ReadFile(legacyRedo, maxLegacy)
	if unfit, ok := errors.AsType[*spoolfiles.UnfitError](err); ok {
		err = r.q.setAside(sp.Root, legacyRedo, unfit.Reason)
	}
	if gone(err) != nil {
		return err
	}
	return r.restore(parseLegacy(data, l.Seq))
}

// removeLegacy comes last, so that a crash makes migrate begin again.
func (r *reconciliation) removeLegacy() error {
	for _, name := range []string{legacyRedo, legacyLedger} {
		if gone(r.q.sp.Root.Remove(name)) != nil {
			if err := r.q.setAside(r.q.sp.Root, name, "not a file of a former version"); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore makes drops of the lines that the queue lacks, and removes the drops that
// were folded and the replies that have returned.
func (r *reconciliation) restore(body []byte, folded, returned []string) error {
	if body == nil {
		return nil
	}
	sp := r.q.sp
	from := []io.ReaderAt{bytes.NewReader(body)}
	replies, err := r.unpublished()
	for _, name := range replies {
		if f, err := r.open(sp.Tmp, name); err == nil && f != nil {
			from = append(from, f)
		}
	}
	made, lerr := r.lines(from...)
	present, perr := r.lines(r.h.f)
	if err := errors.Join(err, lerr, perr); err != nil {
		return err
	}
	n := 0
	for _, f := range from {
		err := scan(whole(f), func(l *line) error {
			if l.err != nil || present.take(r.sum(l)) {
				return nil
			}
			n++
			return sp.Incoming.WriteFile(fmt.Sprintf("former-%08x-%06d.json", crc32.ChecksumIEEE(body), n), l.text, sp.Tmp, r.q.opt.Fsync)
		})
		if err != nil {
			return err
		}
	}
	_, err = r.removePresent(sp.Incoming, folded, made)
	for _, name := range returned {
		err = errors.Join(err, gone(sp.Control.Remove(name)))
	}
	return err
}

// parseLegacy returns the lines that the queue was to get, the drops in incoming that
// were folded, and the files in control that have returned; nothing if the record is
// not whole, or in the ledger already.
func parseLegacy(data []byte, seq uint64) (body []byte, folded, returned []string) {
	var version, head, size int
	var sum uint32
	first, rest, _ := bytes.Cut(data, []byte{'\n'})
	_, err := fmt.Sscanf(string(first), "spool-redo %d %x %d %d", &version, &sum, &head, &size)
	if err != nil || version != 1 || head < 0 || size < 0 || head > len(rest) || size > len(rest)-head ||
		crc32.Checksum(rest[:head+size], castagnoli()) != sum {
		return nil, nil, nil
	}
	for text := range strings.Lines(string(rest[:head])) {
		var its uint64
		var dir, name string
		if n, _ := fmt.Sscanf(text, "seq %d", &its); n == 1 && its <= seq {
			return nil, nil, nil
		}
		fmt.Sscanf(text, "remove %s %q", &dir, &name)
		switch {
		case dir == "incoming":
			folded = append(folded, name)
		case dir == "control" && strings.HasSuffix(name, spoolfiles.ReturningSuffix):
			returned = append(returned, name)
		}
	}
	return rest[head : head+size], folded, returned
}
