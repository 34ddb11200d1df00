package spoolfiles

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// eachEntry lists the directory open as fd, and closes it. It reads
// getdents64(2) records itself, because they carry the inode number, which the
// standard library throws away and an eviction of a million drops needs.
func eachEntry(fd int, _ string, fn func(name []byte, ino uint64) error) error {
	defer unix.Close(fd)
	// Most directories here are nearly empty, and there may be thousands.
	buf := make([]byte, 1<<10)
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name, NUL.
		const header = 19
		for rec := buf[:n]; len(rec) >= header; {
			size := int(binary.NativeEndian.Uint16(rec[16:]))
			if size < header || size > len(rec) {
				break
			}
			ino := binary.NativeEndian.Uint64(rec)
			name := rec[header:size]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			rec = rec[size:]
			if string(name) == "." || string(name) == ".." {
				continue
			}
			if err := fn(name, ino); err != nil {
				return err
			}
		}
		// A record has at most 280 bytes, so there was hardly room for another.
		if n > len(buf)-280 && len(buf) < 64<<10 {
			buf = make([]byte, 64<<10)
		}
	}
}

// LockPath returns a path to name in d, for libraries that open by path. It
// leads through the open directory, so no link on the way can be swapped.
func (d *Dir) LockPath(name string) string {
	self := fmt.Sprintf("/proc/self/fd/%d/", d.fd())
	if _, err := os.Stat(self); err != nil {
		return d.join(name) // no /proc
	}
	return self + name
}
