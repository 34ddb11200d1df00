//go:build darwin || freebsd

package watch

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Foreign names a directory's file system if it is one on which others make
// changes that this kernel does not see; else it returns "".
func Foreign(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "" // the next operation will tell
	}
	name := unix.ByteSliceToString(st.Fstypename[:])
	for _, foreign := range []string{"nfs", "smbfs", "afpfs", "webdav", "p9fs", "virtiofs", "fuse", "macfuse", "osxfuse"} {
		if name == foreign || strings.HasPrefix(name, foreign+".") {
			return name
		}
	}
	return ""
}
