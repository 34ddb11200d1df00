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
	"sync"
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

// forget removes what is noted of connections.
func (s *Setup) forget(paths []string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	removeEmpty(filepath.Dir(s.share(hookProgram)), s.share(""))
	removeEmpty(s.share(recordsDir), s.home)
	return nil
}

// noted are all connections that are noted, by the files that note them.
func (s *Setup) noted(ctx context.Context) map[string]Connection {
	all := map[string]Connection{}
	var mu sync.Mutex
	var looking sync.WaitGroup
	tools := Tools()
	entries, _ := os.ReadDir(s.share(recordsDir))
	for _, e := range entries {
		path := filepath.Join(s.share(recordsDir), e.Name())
		var c connection
		data, _, err := read(path)
		if err == nil {
			err = json.Unmarshal(data, &c)
		}
		i := slices.IndexFunc(tools, func(t Tool) bool { return err == nil && t.Name == c.Tool })
		if i < 0 {
			continue
		}
		looking.Go(func() {
			st := s.Check(ctx, tools[i], c.Project)
			mu.Lock()
			defer mu.Unlock()
			all[path] = Connection{tools[i], c.Project, st}
		})
	}
	looking.Wait()
	return all
}

// live reports whether a connection that is noted is still there, or cannot be
// told to be gone.
func (st Status) live() bool {
	return st.State != None && st.State != Gone || st.Err != nil && st.File != "" && !errors.Is(st.Err, fs.ErrNotExist)
}
