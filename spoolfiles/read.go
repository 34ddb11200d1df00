package spoolfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// UnfitError says why a drop cannot be folded.
type UnfitError struct {
	Reason string
	// MayHeal: the producer may still be at it, so the drop is worth another
	// look while it is fresh.
	MayHeal bool
}

func (e *UnfitError) Error() string { return e.Reason }

func unfit(format string, args ...any) error {
	return &UnfitError{Reason: fmt.Sprintf(format, args...)}
}

// ReadDrop reads a drop into buf, which it grows where needed, and returns its
// bytes and the identity of the file they came from. It opens nothing but
// regular files of this user, and at most max bytes of them.
//
// The error is an *UnfitError where the drop is at fault, and wraps
// fs.ErrNotExist where it has gone.
func (s *Spool) ReadDrop(e Entry, max int64, buf []byte) ([]byte, Identity, error) {
	if err := checkFit(e.Info, max); err != nil {
		return nil, e.Identity, err
	}
	data, info, err := s.Incoming.readFile(e.Name, max, buf)
	switch {
	case errors.Is(err, errLink):
		return nil, e.Identity, unfit("a symbolic link, which is not followed")
	case errors.Is(err, fs.ErrPermission):
		return nil, e.Identity, &UnfitError{Reason: "not readable: permission denied", MayHeal: true}
	case errors.Is(err, syscall.ENXIO):
		return nil, e.Identity, unfit("not a regular file")
	case err != nil:
		return nil, e.Identity, err
	}
	if err := checkFit(info, max); err != nil {
		return nil, info.Identity, err
	}
	return data, info.Identity, nil
}

func checkFit(info Info, max int64) error {
	switch {
	case !info.Mode.IsRegular():
		return unfit("%s, not a regular file", kind(info.Mode))
	case !ours(info.UID):
		return unfit("%v", &OwnerError{info.UID})
	case info.Links > 1:
		// Perhaps a file from elsewhere under a second name, perhaps a
		// producer between link and unlink.
		return &UnfitError{Reason: fmt.Sprintf("has %d hard links: it may be a file from elsewhere", info.Links), MayHeal: true}
	case info.Size > max:
		return unfit("%d bytes, more than the limit of %d", info.Size, max)
	}
	return nil
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something"
}

// ReadFile reads the regular file name of d, of this user, if it has at most
// max bytes.
func (d *Dir) ReadFile(name string, max int64) ([]byte, Info, error) {
	data, info, err := d.readFile(name, max, nil)
	if err == nil && data == nil {
		err = checkFit(info, max)
	}
	if err == nil && !ours(info.UID) {
		err = &OwnerError{info.UID}
	}
	if err != nil {
		var pe *fs.PathError
		if !errors.As(err, &pe) {
			err = d.fail("read", name, err)
		}
		return nil, info, err
	}
	return data, info, nil
}
