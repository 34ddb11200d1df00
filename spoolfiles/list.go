package spoolfiles

import (
	"cmp"
	"slices"
	"strings"
)

// Entry is a directory's entry as Lstat described it when it was listed.
type Entry struct {
	Name string
	Info
}

// older is the order in which drops are folded: modification time, then name.
func older(a, b Entry) int {
	if c := cmp.Compare(a.MTime, b.MTime); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// IsDropName reports whether incoming/NAME is a drop, and not a file that a
// producer is still writing or that is not of the protocol.
func IsDropName(name string) bool {
	return len(name) > len(".json") && name[0] != '.' && strings.HasSuffix(name, ".json")
}

// ListDrops lists the drops in incoming, the oldest first.
func (s *Spool) ListDrops() ([]Entry, error) {
	drops, err := s.Incoming.entries(IsDropName)
	slices.SortFunc(drops, older)
	return drops, err
}

// entries describes the entries whose names are wanted, in no order. Those that
// are removed meanwhile are left out.
func (d *Dir) entries(wanted func(name string) bool) ([]Entry, error) {
	names, err := d.List()
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, name := range names {
		if !wanted(name) {
			continue
		}
		if info, err := d.Lstat(name); err == nil {
			list = append(list, Entry{name, info})
		}
	}
	return list, nil
}

// CountDrops counts the drops that are not yet in the queue.
func (s *Spool) CountDrops() (n int, err error) {
	for _, dir := range []*Dir{s.Incoming, s.Work} {
		names, err := dir.List()
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			if IsDropName(name) {
				n++
			}
		}
	}
	return n, nil
}
