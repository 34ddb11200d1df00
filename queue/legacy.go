package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
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

// legacyRecord is what is needed of a queue.redo.
type legacyRecord struct {
	body     []byte   // the lines that the queue was to get
	drops    []string // in incoming, which were folded
	returned []string // in control, which have returned
}

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

func (q *Queue) removeLegacy() error {
	for _, name := range []string{legacyRedo, legacyLedger} {
		if gone(q.sp.Root.Remove(name)) != nil {
			if err := q.setAside(q.sp.Root, name, "not a file of a former version"); err != nil {
				return err
			}
		}
	}
	return nil
}

// readLegacy takes over the ledger, and an unfinished transaction as after a
// reboot: its lines that the queue lacks come back. So do those of a reply that
// was not published.
func (r *reconciliation) readLegacy() error {
	sp := r.q.sp
	seq := uint64(0)
	if r.h.last == nil {
		var l struct {
			Ledger
			Seq uint64 `json:"seq"`
		}
		data, _, err := sp.Root.ReadFile(legacyLedger, 64<<10)
		if err == nil && json.Unmarshal(data, &l) == nil && l.Ledger.valid() {
			r.h.ledger, seq = l.Ledger, l.Seq
		}
	}
	data, _, err := sp.Root.ReadFile(legacyRedo, maxLegacy)
	var unfit *spoolfiles.UnfitError
	switch {
	case errors.As(err, &unfit):
		return r.q.setAside(sp.Root, legacyRedo, unfit.Reason)
	case err != nil:
		return gone(err)
	}
	l := parseLegacy(data, seq)
	if l == nil {
		return nil
	}
	r.drops, r.returned = l.drops, l.returned
	replies, err := r.unpublished()
	for _, name := range replies {
		if f, err := r.open(sp.Tmp, name); err == nil && f != nil {
			r.lacking = append(r.lacking, f)
		}
	}
	r.lacking = append(r.lacking, bytes.NewReader(l.body))
	return err
}

// parseLegacy returns nil if the record is not whole, or in the ledger already.
func parseLegacy(data []byte, seq uint64) *legacyRecord {
	var version, head, body int
	var sum uint32
	first, rest, _ := bytes.Cut(data, []byte{'\n'})
	_, err := fmt.Sscanf(string(first), "spool-redo %d %x %d %d", &version, &sum, &head, &body)
	if err != nil || version != 1 || head < 0 || body < 0 || head > len(rest) || body > len(rest)-head ||
		crc32.Checksum(rest[:head+body], castagnoli()) != sum {
		return nil
	}
	l := &legacyRecord{body: rest[head : head+body]}
	for text := range strings.Lines(string(rest[:head])) {
		var its uint64
		var dir, name string
		if n, _ := fmt.Sscanf(text, "seq %d", &its); n == 1 && its <= seq {
			return nil
		}
		fmt.Sscanf(text, "remove %s %q", &dir, &name)
		switch {
		case dir == "incoming":
			l.drops = append(l.drops, name)
		case dir == "control" && strings.HasSuffix(name, spoolfiles.ReturningSuffix):
			l.returned = append(l.returned, name)
		}
	}
	return l
}
