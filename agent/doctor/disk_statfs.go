//go:build linux || darwin || freebsd

package doctor

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func spaceOf(path string) (s space, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	s.device = uint64(info.Sys().(*syscall.Stat_t).Dev)
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return s, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	block := uint64(st.Bsize)
	s.bytes, s.freeBytes = uint64(st.Blocks)*block, uint64(max(int64(st.Bavail), 0))*block
	s.inodes, s.freeInodes = uint64(st.Files), uint64(max(int64(st.Ffree), 0))
	return s, nil
}
