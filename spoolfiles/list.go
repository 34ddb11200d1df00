package spoolfiles

import (
	"cmp"
	"errors"
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
	return cmp.Or(cmp.Compare(a.MTime, b.MTime), strings.Compare(a.Name, b.Name))
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

// names lists the names that are wanted, in no order.
func (d *Dir) names(wanted func(name string) bool) ([]string, error) {
	names, err := d.List()
	return slices.DeleteFunc(names, func(name string) bool { return !wanted(name) }), err
}

// entries describes the entries whose names are wanted, in no order. Those that
// are removed meanwhile are left out.
func (d *Dir) entries(wanted func(name string) bool) ([]Entry, error) {
	names, err := d.names(wanted)
	list := make([]Entry, 0, len(names))
	for _, name := range names {
		if info, err := d.Lstat(name); err == nil {
			list = append(list, Entry{name, info})
		}
	}
	return list, err
}

// CountDrops counts the drops that are not yet in the queue.
func (s *Spool) CountDrops() (int, error) {
	waiting, err := s.Incoming.names(IsDropName)
	begun, werr := s.Work.names(IsDropName)
	return len(waiting) + len(begun), errors.Join(err, werr)
}
