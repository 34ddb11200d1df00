package spoolfiles

import (
	"fmt"
	"path/filepath"
	"strings"
)

// MaxDrop is how large a drop may be, in bytes, unless the configuration says
// otherwise.
const MaxDrop = 64 << 20

// Drop leaves one drop with this content, a signal or a raw hook event, in a
// project's spool, which is made if there is none. It takes no lock and does
// not wait. The content is not checked. Safe for concurrent use, also with
// other processes.
func Drop(project string, data []byte) error {
	s, err := Create(project)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Drop(data)
	return err
}

// Drop leaves one drop with this content and returns the name that it got in
// incoming.
func (s *Spool) Drop(data []byte) (name string, err error) { return s.DropFrom("", data) }

// DropFrom is Drop for a raw event of the tool that is called source: see
// DropSource. With an empty source it is Drop.
func (s *Spool) DropFrom(source string, data []byte) (name string, err error) {
	ending := ".json"
	if source != "" {
		ending = "." + source + ending
	}
	if DropSource(ending) != source {
		return "", fmt.Errorf("dropping: %q is not a source's name, 1 to 32 of a-z, 0-9 and -", source)
	}
	name = NewID() + ending
	if err := s.Incoming.WriteFile(name, data, s.Tmp, false); err != nil {
		return "", fmt.Errorf("dropping: %w", err)
	}
	return name, nil
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
