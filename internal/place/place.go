// Package place knows where the programs are that the service and the hooks
// run.
//
// There is one rule. A program in a directory of the system is run from there,
// since only an administrator or a package puts programs there. Any other is
// copied below Share and run from there, so that nothing that happens to a
// directory in PATH changes what is run.
package place

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Share is where the copies are, and the scripts of the hooks, below the home
// directory. XDG_DATA_HOME does not count: the hooks' command must find them from
// a tool that was started from a desktop's menu, without the variables of the
// user's shell.
const Share = ".local/share/spool-agent"

// systemDirs are the directories of the system. A link in them, such as that of
// a package manager that keeps each version in a directory of its own, is not
// in the system: what it points to is gone after the next upgrade.
var systemDirs = []string{"/bin", "/usr/bin", "/usr/local/bin"}

// Self is the path of this program, links resolved, and whether that is in the
// system.
func Self() (path string, inSystem bool, err error) {
	path, err = os.Executable()
	if err != nil {
		return "", false, fmt.Errorf("finding this program: %w", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil { // it may have been deleted
		path = real
	}
	return path, slices.Contains(systemDirs, filepath.Dir(path)), nil
}
