//go:build unix

package agent

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// inode tells one directory from another.
type inode struct{ dev, ino uint64 }

// inodeOf tells what a path leads to, whatever its name is.
func inodeOf(_ string, info fs.FileInfo) inode {
	st := info.Sys().(*syscall.Stat_t)
	return inode{dev: uint64(st.Dev), ino: uint64(st.Ino)}
}

// lastChange tells when something last came into a directory, or left it. It is
// asked thousands of times a second where thousands of projects are polled.
func lastChange(path string) (id inode, nanoseconds int64, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return inode{}, 0, err
	}
	return inode{dev: uint64(st.Dev), ino: uint64(st.Ino)}, st.Mtim.Nano(), nil
}
