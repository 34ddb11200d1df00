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

// What was connected is noted: a file for each connection, in this directory beside
// the scripts, with the names of the tool and the project (empty: for the user). From
// these it is known when the scripts are not needed any more, and what somebody else
// has taken out again.
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

// A Connection is a tool that is connected: for the user, or in one project.
type Connection struct {
	Tool    Tool
	Project string // empty: for the user
	Status
	record string // the file that notes it; empty: none does
}

// Connections are all tools in the user's settings and in those of the project, if it
// is not empty, connected or not, and those that are connected in other projects, or
// were and are [Gone]. These are known if they were connected by Install.
func (s *Setup) Connections(ctx context.Context, project string) []Connection {
	all := s.connections(ctx, project)
	known := map[string]bool{}
	return slices.DeleteFunc(all, func(c Connection) bool {
		id := c.Tool.Name + " " + c.File
		again := known[id]
		known[id] = true
		other := c.record != "" && !c.live() && (c.State != Gone || c.gone)
		return again || c.File == "" || other
	})
}

// connections are these, and the other projects in whatever state.
func (s *Setup) connections(ctx context.Context, project string) (all []Connection) {
	noted := map[string][]Connection{} // by the tool
	entries, _ := os.ReadDir(s.share(recordsDir))
	for _, e := range entries {
		path := filepath.Join(s.share(recordsDir), e.Name())
		var c struct{ Tool, Project string }
		data, _, err := read(path)
		if err == nil && json.Unmarshal(data, &c) == nil && c.Project != "" {
			noted[c.Tool] = append(noted[c.Tool], Connection{Project: c.Project, record: path})
		}
	}
	for _, t := range Tools() {
		all = append(all, Connection{Tool: t})
		if project != "" {
			all = append(all, Connection{Tool: t, Project: project})
		}
		for _, c := range noted[t.Name] {
			c.Tool = t
			all = append(all, c)
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
