//go:build linux || darwin || freebsd

package doctor

import "golang.org/x/sys/unix"

// spaceOf returns how much room the file system of path has.
func spaceOf(path string) (s space) {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) == nil {
		block := uint64(st.Bsize)
		s.bytes, s.freeBytes = uint64(st.Blocks)*block, uint64(max(int64(st.Bavail), 0))*block
		s.inodes, s.freeInodes = uint64(st.Files), uint64(max(int64(st.Ffree), 0))
	}
	return s
}
