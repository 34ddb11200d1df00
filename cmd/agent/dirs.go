package main

import (
	"fmt"
	"os"
	"path/filepath"

	"spoolagent/agent/registry"
)

// The places are found when they are needed, and by hand: the usual library
// looks for all of them, and reads a file, whenever a program starts, which is
// a tenth of what a drop costs.

// configFile is where the configuration is if --config does not say.
func configFile() (string, error) {
	dir, err := userDir("XDG_CONFIG_HOME", ".config")
	return filepath.Join(dir, "spool-agent", "config.toml"), err
}

// stateDir is where agents of this user say that they run.
func stateDir() (string, error) {
	dir, err := userDir("XDG_STATE_HOME", ".local", "state")
	return filepath.Join(dir, "spool-agent"), err
}

// projectRegistry is where projects are registered: below the home directory, which
// all shells and hooks know, and not where a variable says that only some have.
func projectRegistry() (registry.Registry, error) {
	state, err := stateDir()
	if err != nil {
		return registry.Registry{}, err
	}
	r := registry.Registry{Dir: filepath.Join(state, "projects")}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		r.Old, r.Dir = r.Dir, filepath.Join(home, ".local", "state", "spool-agent", "projects")
	}
	return r, nil
}

// userDir is the directory that an environment variable of the XDG base
// directory specification names, else its default below the home directory. A
// relative path does not count, says the specification.
func userDir(variable string, fallback ...string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%w; set it, or %s", err, variable)
	}
	return filepath.Join(append([]string{home}, fallback...)...), nil
}
