package hooks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A connection is a tool that was connected: a file in the directory
// "connected" beside the scripts. From these it is known when a script is not
// needed any more, and what somebody else has taken out again.
type connection struct {
	Tool    string `json:"tool"`
	Project string `json:"project,omitzero"` // empty: for the user
}

const recordsDir = "connected"

// recordPath is where a connection is noted. That of a project goes by the
// file, which several directories of one repository may share.
func (s *Setup) recordPath(tool, project, file string) string {
	name := tool
	if project != "" {
		sum := sha256.Sum256([]byte(file))
		name += "-" + hex.EncodeToString(sum[:8])
	}
	return filepath.Join(s.share(recordsDir), name+".json")
}

// record notes a connection, before it is made.
func (s *Setup) record(path string, c connection) error {
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
	return f.replace(append(data, '\n'), 0o600)
}

// forget removes what is noted of a connection, and of projects that are gone.
func (s *Setup) forget(path string) error {
	for name, c := range s.records() {
		if name != path && (c.Project == "" || exists(c.Project)) {
			continue
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	removeEmpty(filepath.Dir(s.share(hookProgram)), s.share(""))
	removeEmpty(s.share(recordsDir), s.home)
	return nil
}

// records are all connections that are noted, by the files that note them.
func (s *Setup) records() map[string]connection {
	all := map[string]connection{}
	entries, _ := os.ReadDir(s.share(recordsDir))
	for _, e := range entries {
		path := filepath.Join(s.share(recordsDir), e.Name())
		var c connection
		if data, _, err := read(path); err == nil && json.Unmarshal(data, &c) == nil {
			all[path] = c
		}
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// live reports whether a connection that is noted is still there, or cannot be
// told to be gone.
func (s *Setup) live(ctx context.Context, c connection) bool {
	all := Tools()
	i := slices.IndexFunc(all, func(t Tool) bool { return t.Name == c.Tool })
	return i >= 0 && s.Check(ctx, all[i], c.Project).live()
}

func (st Status) live() bool {
	return st.State != None && st.State != Gone || st.Err != nil && st.File != "" && !errors.Is(st.Err, fs.ErrNotExist)
}
