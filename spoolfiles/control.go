package spoolfiles

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The endings of the files in control.
const (
	RequestSuffix   = ".drain"
	ReplySuffix     = ".signals"
	ErrorSuffix     = ".error"
	ReturningSuffix = ".returning"
)

const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// ValidID reports whether id can name a request: 1 to 64 of A-Za-z0-9_-.
func ValidID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, idCharacters) == ""
}

// NewID returns an ID that no other request has: time, process, chance. Those
// made one after the other by one process sort in that order.
func NewID() string {
	return fmt.Sprintf("%d-%d-%x", time.Now().UnixNano(), os.Getpid(), rand.Uint64())
}

// Controls are the files in control, by what they are; each list oldest first.
// ID is set for those whose name has a valid one.
type Controls struct {
	Requests  []ControlFile
	Replies   []ControlFile
	Errors    []ControlFile
	Returning []ControlFile
	Misfits   []ControlFile // requests without a valid ID, directories, and replies that are no files of this user
}

// ControlFile is one file in control.
type ControlFile struct {
	ID string
	Entry
}

// ScanControl lists control. Files that are not of the protocol are left out.
func (s *Spool) ScanControl() (Controls, error) {
	var c Controls
	lists := map[string]*[]ControlFile{
		RequestSuffix: &c.Requests, ReplySuffix: &c.Replies, ErrorSuffix: &c.Errors, ReturningSuffix: &c.Returning,
	}
	files, err := s.Control.entries(func(name string) bool {
		return name[0] != '.' && lists[filepath.Ext(name)] != nil
	})
	slices.SortFunc(files, older)
	for _, e := range files {
		suffix := filepath.Ext(e.Name)
		id := strings.TrimSuffix(e.Name, suffix)
		fit := !e.Mode.IsDir() && (suffix == RequestSuffix || e.checkFit(0) == nil)
		if ValidID(id) && fit {
			*lists[suffix] = append(*lists[suffix], ControlFile{id, e})
		} else if suffix == RequestSuffix || !fit {
			c.Misfits = append(c.Misfits, ControlFile{Entry: e})
		}
	}
	return c, err
}
