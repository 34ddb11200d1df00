//go:build !linux

package spoolfiles

import (
	"io"
	"os"
)

// eachName lists an open directory where the listing has no inode numbers.
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
