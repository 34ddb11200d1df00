//go:build unix

package spoolfiles

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenSafely are the flags that keep an opening by path from following a link
// or blocking.
const OpenSafely = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY

const (
	nonblock  = unix.O_NONBLOCK | unix.O_NOCTTY
	hasOwners = true
)

func infoOf(fi fs.FileInfo, err error) (Info, error) {
	if err != nil {
		return Info{}, err
	}
	st := fi.Sys().(*syscall.Stat_t)
	return Info{
		Identity: Identity{Ino: uint64(st.Ino), Size: fi.Size(), MTime: fi.ModTime().UnixNano()},
		Mode:     fi.Mode(),
		UID:      st.Uid,
		Links:    uint64(st.Nlink),
		fi:       fi,
	}, nil
}

func syncDir(dir *os.File) error { return dir.Sync() }

func retry(op func() error) error { return op() }
