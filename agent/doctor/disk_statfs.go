//go:build linux || darwin || freebsd

package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mayMake reports whether this user may make files in a directory.
func mayMake(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }

// littleRoom says how much room the file system of path has, if that is too little.
func littleRoom(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return ""
	}
	free, size := uint64(max(int64(st.Bavail), 0))*uint64(st.Bsize), uint64(st.Blocks)*uint64(st.Bsize)
	inodes, all := uint64(max(int64(st.Ffree), 0)), uint64(st.Files) // 0 of 0 where they are not limited
	if free >= min(100<<20, size/10) && inodes >= min(1000, all/10) {
		return ""
	}
	return fmt.Sprintf("%.1f MiB and %d inodes are free", float64(free)/(1<<20), inodes)
}
