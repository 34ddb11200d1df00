//go:build unix && !linux

package spoolfiles

import "os"

// eachEntry lists the directory open as fd, and closes it.
func eachEntry(fd int, path string, fn func(name []byte, ino uint64) error) error {
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return eachName(f, fn)
}

// LockPath returns a path to name in d, for libraries that open by path.
func (d *Dir) LockPath(name string) string { return d.join(name) }
