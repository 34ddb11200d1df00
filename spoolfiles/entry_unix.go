//go:build unix && !portable

package spoolfiles

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// remove and rename act on the descriptors of the open directories: that takes
// one system call where os.Root takes up to six, and it reaches those
// directories whatever is at their paths by now.

func remove(d *Dir, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	for {
		err := unix.Unlinkat(int(d.self.Fd()), name, 0)
		if err != unix.EINTR {
			return err
		}
	}
}

func rename(from *Dir, name string, to *Dir, toName string) error {
	if err := errors.Join(checkName(name), checkName(toName)); err != nil {
		return err
	}
	for {
		err := unix.Renameat(int(from.self.Fd()), name, int(to.self.Fd()), toName)
		if err != unix.EINTR {
			return err
		}
	}
}

// checkName guards against names that would leave the directory.
func checkName(name string) error {
	if name != filepath.Base(name) || !filepath.IsLocal(name) {
		return errors.New("is not a plain file name")
	}
	return nil
}
