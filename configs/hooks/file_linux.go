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
		err = unix.Fsetxattr(int(f.Fd()), name, list[:n], 0)
		return os.NewSyscallError("keeping the access list of "+old, err)
	}
	if errors.Is(err, unix.ENODATA) {
		unix.Fremovexattr(int(f.Fd()), name) // mostly it has none either
	}
	return nil
}
