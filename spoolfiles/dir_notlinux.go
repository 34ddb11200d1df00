//go:build unix && !linux

package spoolfiles

import (
	"io"
	"os"
)

// eachEntry lists the directory open as fd, and closes it.
func eachEntry(fd int, path string, fn func(name []byte, ino uint64) error) error {
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return eachName(f, fn)
}

func eachName(f *os.File, fn func(name []byte, ino uint64) error) error {
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			if err := fn([]byte(name), 0); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// LockPath returns a path to name in d, for libraries that open by path.
func (d *Dir) LockPath(name string) string { return d.join(name) }
