//go:build unix && !portable

package spoolfiles

import "golang.org/x/sys/unix"

// remove and rename act on the descriptors of the open directories: that takes
// one system call where os.Root takes up to six, and it reaches those
// directories whatever is at their paths by now.

func remove(d *Dir, name string) error {
	self, err := d.self()
	if err != nil {
		return err
	}
	return unix.Unlinkat(int(self.Fd()), name, 0)
}

func rename(from *Dir, name string, to *Dir, toName string) error {
	old, err := from.self()
	if err != nil {
		return err
	}
	new, err := to.self()
	if err != nil {
		return err
	}
	return unix.Renameat(int(old.Fd()), name, int(new.Fd()), toName)
}
