package hooks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// note notes a connection, before it is made.
func (c connection) note(path string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// A Connection is a tool that is connected: for the user, or in one project.
type Connection struct {
	Tool    Tool
	Project string // empty: for the user
	Status
	record string // the file that notes it; empty: none does
}

// Connections are what is connected now, or was and is [Gone]. Of projects those
// are known that were connected by Install; one that cannot be looked at is among them.
func (s *Setup) Connections(ctx context.Context) []Connection {
	return slices.DeleteFunc(s.connections(ctx), func(c Connection) bool {
		return !c.live() && (c.State != Gone || c.gone)
	})
}

// connections are those of the user's settings, and all that are noted of projects.
func (s *Setup) connections(ctx context.Context) (all []Connection) {
	for _, t := range tools() {
		all = append(all, Connection{Tool: t})
	}
	entries, _ := os.ReadDir(s.share(recordsDir))
	for _, e := range entries {
		path := filepath.Join(s.share(recordsDir), e.Name())
		var c connection
		data, _, err := read(path)
		if err == nil {
			err = json.Unmarshal(data, &c)
		}
		if t, ok := Named(c.Tool); ok && err == nil && c.Project != "" {
			all = append(all, Connection{Tool: t, Project: c.Project, record: path})
		}
	}
	var looking sync.WaitGroup
	for i := range all {
		looking.Go(func() { all[i].Status = s.Check(ctx, all[i].Tool, all[i].Project) })
	}
	looking.Wait()
	return all
}

// live reports whether a connection is there, or in a project cannot be told to be
// gone.
func (c Connection) live() bool {
	return c.connected() || c.Project != "" && c.Err != nil && c.File != "" && !c.gone
}
