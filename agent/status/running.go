package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"spoolagent/agent"
	"spoolagent/internal/filelock"
)

// Running returns the agents of this user that live: that of all projects first,
// then by the time of their start. What dead ones have left is removed. No state
// directory means no agents.
func Running(stateDir string) (infos []agent.Info, err error) {
	dir := filepath.Join(stateDir, agent.AgentsName)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		name, isLock := strings.CutSuffix(e.Name(), agent.LockSuffix)
		if !isLock || !e.Type().IsRegular() {
			continue
		}
		stem := filepath.Join(dir, name)
		lives, lerr := filelock.Held(stem+agent.LockSuffix, func() {
			for _, suffix := range []string{agent.InfoSuffix, agent.TmpSuffix, agent.LockSuffix} {
				os.Remove(stem + suffix) // it is nobody's loss if it stays
			}
		})
		if lives {
			var info agent.Info
			// Not found by its name in the listing, which may lack what is just
			// being replaced.
			data, rerr := os.ReadFile(stem + agent.InfoSuffix)
			if errors.Is(rerr, fs.ErrNotExist) {
				continue // it has begun or ended just now
			}
			if lerr = rerr; lerr == nil {
				lerr = json.Unmarshal(data, &info)
			}
			infos = append(infos, info)
		}
		err = errors.Join(err, lerr)
	}
	if err != nil {
		return nil, fmt.Errorf("finding agents: %w", err)
	}
	slices.SortStableFunc(infos, func(a, b agent.Info) int {
		switch {
		case a.User == b.User:
			return a.StartedAt.Compare(b.StartedAt)
		case a.User:
			return -1
		}
		return 1
	})
	return infos, nil
}
