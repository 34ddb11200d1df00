package main

import (
	"fmt"
	"os"
	"path/filepath"
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
