//go:build unix

package hooks

import (
	"io/fs"
	"os"
	"syscall"
)

// exe ends the names of programs.
const exe = ""

// keepOwner gives a new file the owner and the group of the one it replaces.
func keepOwner(f *os.File, old fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	is, was := now.Sys().(*syscall.Stat_t), old.Sys().(*syscall.Stat_t)
	if is.Uid == was.Uid && is.Gid == was.Gid {
		return nil
	}
	err = f.Chown(int(was.Uid), int(was.Gid))
	if is.Uid == was.Uid {
		err = nil // the group of a directory that hands its own down
	}
	return err
}

// homeOfOthers reports whether we are root in the home directory of a user.
func homeOfOthers(info fs.FileInfo) bool {
	return os.Geteuid() == 0 && info.Sys().(*syscall.Stat_t).Uid != 0
}
