package doctor

import (
	"hash/fnv"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// hasModes: permissions are not as in chmod(1).
const hasModes = false

func executable(fs.FileInfo) bool { return true }

// space is how much room a file system has.
type space struct {
	device             uint64
	bytes, freeBytes   uint64
	inodes, freeInodes uint64 // inodes is 0 where they are not limited
}

func spaceOf(path string) (s space, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return s, err
	}
	if err := windows.GetDiskFreeSpaceEx(name, &s.freeBytes, &s.bytes, nil); err != nil {
		return s, &fs.PathError{Op: "asking for free space", Path: path, Err: err}
	}
	volume := fnv.New64a()
	volume.Write([]byte(strings.ToLower(filepath.VolumeName(path))))
	s.device = volume.Sum64()
	return s, nil
}
