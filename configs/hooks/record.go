package hooks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A connection is a tool that was connected: a file in the directory
// "connected" beside the scripts. From these it is known when a script is not
// needed any more, and which directories we have made.
type connection struct {
	Tool    string   `json:"tool"`
	Project string   `json:"project,omitzero"` // empty: for the user
	Made    []string `json:"made,omitzero"`    // directories, the outermost first
}

const recordsDir = "connected"

func (s *Setup) recordPath(tool, project string) string {
	name := tool
	if project != "" {
		sum := sha256.Sum256([]byte(project))
		name += "-" + hex.EncodeToString(sum[:8])
	}
	return filepath.Join(s.share(recordsDir), name+".json")
}

// record notes a connection, before it is made.
func (s *Setup) record(tool, project string, made []string) error {
	path := s.recordPath(tool, project)
	old, _ := readRecord(path)
	made = slices.Concat(old.Made, made, missing(path))
	slices.Sort(made) // so that the outermost come first
	c := connection{tool, project, slices.Compact(made)}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := open(path, "")
	if err != nil {
		return err
	}
	if data = append(data, '\n'); string(data) == string(f.data) {
		return nil
	}
	return f.replace(data, 0o600)
}

// forget removes what record has noted, and the directories that were made for
// it. Those that others are still using are theirs from now on.
func (s *Setup) forget(tool, project string) error {
	path := s.recordPath(tool, project)
	c, err := readRecord(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	removeDir(s.share(recordsDir))
	removeDir(s.share(""))
	var left []string
	for _, dir := range slices.Backward(c.Made) {
		removeDir(dir)
		if _, err := os.Lstat(dir); err == nil {
			left = append(left, dir)
		}
	}
	if others := s.records(); len(left) > 0 && len(others) > 0 {
		return s.record(others[0].Tool, others[0].Project, left)
	}
	return nil
}

// records are all connections that are noted, some of which may be gone.
func (s *Setup) records() (all []connection) {
	entries, _ := os.ReadDir(s.share(recordsDir))
	for _, e := range entries {
		if c, err := readRecord(filepath.Join(s.share(recordsDir), e.Name())); err == nil {
			all = append(all, c)
		}
	}
	return all
}

func readRecord(path string) (c connection, err error) {
	data, _, err := read(path)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}
