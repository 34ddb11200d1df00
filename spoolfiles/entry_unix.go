//go:build unix && !portable

package spoolfiles

import "golang.org/x/sys/unix"

// remove and rename act on the descriptors of the open directories: that takes
// one system call where os.Root takes up to six, and it reaches those
// directories whatever is at their paths by now.

func remove(d *Dir, name string) error { return unix.Unlinkat(int(d.self.Fd()), name, 0) }

func rename(from *Dir, name string, to *Dir, toName string) error {
	return unix.Renameat(int(from.self.Fd()), name, int(to.self.Fd()), toName)
}
