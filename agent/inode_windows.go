package agent

import (
	"io/fs"
	"os"
)

// inode tells one directory from another.
type inode string

// inodeOf goes by the path: a watch holds the directory open, so that it can
// neither be replaced nor be met again under another name.
func inodeOf(path string, _ fs.FileInfo) inode { return inode(path) }

// lastChange tells when something last came into a directory, or left it.
func lastChange(path string) (id inode, nanoseconds int64, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", 0, err
	}
	return inodeOf(path, info), info.ModTime().UnixNano(), nil
}
