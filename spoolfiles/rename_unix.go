//go:build unix && !portable

package spoolfiles

import (
	"errors"

	"golang.org/x/sys/unix"
)

// rename acts on the descriptors of the open directories: that takes one system
// call where os.Root takes six, and it reaches those directories whatever is at
// their paths by now.
func rename(from *Dir, name string, to *Dir, toName string) error {
	old, err := from.self()
	new, nerr := to.self()
	if err = errors.Join(err, nerr); err != nil {
		return err
	}
	return unix.Renameat(int(old.Fd()), name, int(new.Fd()), toName)
}
