//go:build unix

package agent

import (
	"io/fs"
	"syscall"
)

// inode tells one directory from another.
type inode struct{ dev, ino uint64 }

// inodeOf tells what a path leads to, whatever its name is.
func inodeOf(_ string, info fs.FileInfo) inode {
	st := info.Sys().(*syscall.Stat_t)
	return inode{dev: uint64(st.Dev), ino: uint64(st.Ino)}
}
