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
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// forget removes what is noted of a connection, and of projects that are gone.
func (s *Setup) forget(path string, noted []Connection) error {
	for _, c := range noted {
		if c.record != path && !c.gone {
			continue
		}
		if err := os.Remove(c.record); err != nil {
			return err
		}
	}
	removeEmpty(filepath.Dir(s.share(hookProgram)), s.share(""))
	removeEmpty(s.share(recordsDir), s.home)
	return nil
}

// noted are all connections that are noted.
func (s *Setup) noted(ctx context.Context) (all []Connection) {
	tools := Tools()
	entries, _ := os.ReadDir(s.share(recordsDir))
	for _, e := range entries {
		path := filepath.Join(s.share(recordsDir), e.Name())
		var c connection
		data, _, err := read(path)
		if err == nil {
			err = json.Unmarshal(data, &c)
		}
		i := slices.IndexFunc(tools, func(t Tool) bool { return t.Name == c.Tool })
		if err == nil && i >= 0 {
			all = append(all, Connection{Tool: tools[i], Project: c.Project, record: path})
		}
	}
	var looking sync.WaitGroup
	for i := range all {
		looking.Go(func() { all[i].Status = s.Check(ctx, all[i].Tool, all[i].Project) })
	}
	looking.Wait()
	return all
}

// live reports whether a connection that is noted is still there, or cannot be
// told to be gone.
func (st Status) live() bool {
	return st.State != None && st.State != Gone || st.Err != nil && st.File != "" && !errors.Is(st.Err, fs.ErrNotExist)
}
