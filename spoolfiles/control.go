package spoolfiles

import (
	"slices"
	"strings"
)

// The endings of the files in control.
const (
	RequestSuffix   = ".drain"
	ReplySuffix     = ".signals"
	ErrorSuffix     = ".error"
	ReturningSuffix = ".returning"
)

// ValidID reports whether id can name a request: 1 to 64 of A-Za-z0-9_-.
func ValidID(id string) bool {
	if len(id) < 1 || len(id) > 64 {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}) < 0
}

// NewID returns an ID that no other request has.
func NewID() string { return uniqueName() }

// Controls are the files in control, by what they are; each list oldest first.
// ID is set for those whose name has a valid one.
type Controls struct {
	Requests  []ControlFile
	Replies   []ControlFile
	Errors    []ControlFile
	Returning []ControlFile
	Misfits   []ControlFile // requests without a valid ID, and directories
}

// ControlFile is one file in control.
type ControlFile struct {
	ID string
	Entry
}

// ScanControl lists control. Files that are none of the protocol's are left out.
func (s *Spool) ScanControl() (Controls, error) {
	var c Controls
	err := s.Control.Each(func(raw []byte, _ uint64) error {
		name := string(raw)
		if strings.HasPrefix(name, ".") {
			return nil
		}
		list, suffix := &c.Requests, RequestSuffix
		switch {
		case strings.HasSuffix(name, RequestSuffix):
		case strings.HasSuffix(name, ReplySuffix):
			list, suffix = &c.Replies, ReplySuffix
		case strings.HasSuffix(name, ErrorSuffix):
			list, suffix = &c.Errors, ErrorSuffix
		case strings.HasSuffix(name, ReturningSuffix):
			list, suffix = &c.Returning, ReturningSuffix
		default:
			return nil
		}
		info, err := s.Control.Lstat(name)
		if err != nil {
			return nil // gone since
		}
		f := ControlFile{Entry: Entry{name, info}}
		id := strings.TrimSuffix(name, suffix)
		switch {
		case info.Mode.IsDir():
			list = &c.Misfits
		case ValidID(id):
			f.ID = id
		case suffix == RequestSuffix:
			list = &c.Misfits
		default:
			return nil
		}
		*list = append(*list, f)
		return nil
	})
	for _, l := range []*[]ControlFile{&c.Requests, &c.Replies, &c.Errors, &c.Returning, &c.Misfits} {
		slices.SortFunc(*l, func(a, b ControlFile) int { return older(a.Entry, b.Entry) })
	}
	return c, err
}
