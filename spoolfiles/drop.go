package spoolfiles

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// MaxDrop is how large a drop may be, in bytes, unless the configuration says
// otherwise.
const MaxDrop = 64 << 20

// Drop leaves one drop with this content, a signal or a raw hook event, in a
// project's spool, which is made if there is none. Where recording is off it
// stores nothing. It takes no lock and does not wait. The content is not checked.
// Safe for concurrent use, also with other processes.
func Drop(project string, data []byte) error {
	s, err := OpenToDrop(project)
	if errors.Is(err, ErrOff) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Drop(data)
	return err
}

// Drop leaves one drop with this content and returns the name that it got in
// incoming.
func (s *Spool) Drop(data []byte) (name string, err error) {
	name = NewID() + ".json"
	return name, s.DropContent(name, bytes.NewReader(data))
}

// NewDropName returns a name that no other drop has. It tells the source: see
// DropSource. With an empty source it tells none.
func NewDropName(source string) (string, error) {
	ending := ".json"
	if source != "" {
		ending = "." + source + ending
	}
	if DropSource(ending) != source {
		return "", fmt.Errorf("dropping: %q is not a source's name, 1 to 32 of a-z, 0-9 and -", source)
	}
	return NewID() + ending, nil
}

// DropSource returns the source that a drop's name tells, SOURCE in
// NAME.SOURCE.json, or "" if it tells none.
func DropSource(name string) string {
	stem, ok := strings.CutSuffix(name, ".json")
	source := strings.TrimPrefix(filepath.Ext(stem), ".")
	if !ok || len(source) > 32 || strings.Trim(source, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return ""
	}
	return source
}
