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

// Running returns the agents of this user that live, the service first, then
// by the time of their start. What dead ones have left is removed. No state
// directory means no agents.
func Running(stateDir string) ([]agent.Info, error) {
	return running(stateDir, func(e fs.DirEntry, path string) {
		switch filepath.Ext(path) {
		case agent.InfoSuffix, agent.LockSuffix, agent.TmpSuffix:
			if e.Type().IsRegular() {
				os.Remove(path) // it is nobody's loss if it stays
			}
		}
	})
}

// Leftovers is Running for one who only reads: it removes nothing, but also
// returns the paths of what dead agents have left.
func Leftovers(stateDir string) (infos []agent.Info, left []string, err error) {
	infos, err = running(stateDir, func(_ fs.DirEntry, path string) { left = append(left, path) })
	return infos, left, err
}

// running calls dead for each file that belongs to no living agent, while no new
// agent can take its lock. Without a lock file there is none either, for an
// agent locks before it writes, under a new name.
func running(stateDir string, dead func(e fs.DirEntry, path string)) ([]agent.Info, error) {
	dir := filepath.Join(stateDir, agent.AgentsName)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("finding agents: %w", err)
	}
	var infos []agent.Info
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		stem := strings.TrimSuffix(path, filepath.Ext(path))
		lives, err := filelock.Held(stem+agent.LockSuffix, func() { dead(e, path) })
		if err != nil {
			return nil, fmt.Errorf("finding agents: %w", err)
		}
		if !lives || filepath.Ext(path) != agent.InfoSuffix {
			continue
		}
		info, err := readInfo(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended just now
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	slices.SortStableFunc(infos, func(a, b agent.Info) int {
		if a.Service != b.Service {
			if a.Service {
				return -1
			}
			return 1
		}
		return a.StartedAt.Compare(b.StartedAt)
	})
	return infos, nil
}

func readInfo(path string) (info agent.Info, err error) {
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err != nil {
		return info, fmt.Errorf("reading the status of an agent: %w", err)
	}
	return info, nil
}
