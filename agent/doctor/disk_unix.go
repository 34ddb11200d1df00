//go:build unix

package doctor

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hasModes: permissions are as in chmod(1).
const hasModes = true

func executable(info fs.FileInfo) bool { return info.Mode()&0o111 != 0 }

// space is how much room a file system has.
type space struct {
	device             uint64
	bytes, freeBytes   uint64
	inodes, freeInodes uint64 // inodes is 0 where they are not limited
}

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
