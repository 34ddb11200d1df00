//go:build unix

package spoolfiles

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Touch sets the modification time of the entry name itself, be it a link, to
// now.
func (d *Dir) Touch(name string) error {
	if err := checkName(name); err != nil {
		return d.fail("touch", name, err)
	}
	err := unix.UtimesNanoAt(d.fd(), name, nil, unix.AT_SYMLINK_NOFOLLOW)
	runtime.KeepAlive(d)
	if err != nil {
		return d.fail("touch", name, err)
	}
	return nil
}
