package hooks

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// keepACL gives a new file the access list of the one that it replaces, or none:
// its directory may have handed one down.
func keepACL(f *os.File, old string) error {
	const name = "system.posix_acl_access"
	list := make([]byte, 64<<10) // the most that there can be
	n, err := unix.Getxattr(old, name, list)
	if err == nil {
		return unix.Fsetxattr(int(f.Fd()), name, list[:n], 0)
	}
	if errors.Is(err, unix.ENODATA) {
		err = unix.Fremovexattr(int(f.Fd()), name)
	}
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOENT) { // replacing finds that out
		return nil
	}
	return err
}
