//go:build unix

package doctor

import "io/fs"

// hasModes: permissions are as in chmod(1).
const hasModes = true

func executable(info fs.FileInfo) bool { return info.Mode()&0o111 != 0 }

// space is how much room a file system has.
type space struct {
	device             uint64
	bytes, freeBytes   uint64
	inodes, freeInodes uint64 // inodes is 0 where they are not limited
}
