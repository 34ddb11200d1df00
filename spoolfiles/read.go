package spoolfiles

import (
	"errors"
	"fmt"
	"io/fs"
)

// UnfitError says why a drop cannot be folded.
type UnfitError struct {
	Reason string
	// MayHeal: the producer may still be at it, so the drop is worth another
	// look while it is fresh.
	MayHeal bool
}

func (e *UnfitError) Error() string { return e.Reason }

// ReadDrop reads a drop that was listed in dir, which is incoming or work, into
// buf if there is room, and returns its content and what its file was then. At
// most max bytes are read.
//
// The error is an *UnfitError if the drop is at fault, and wraps fs.ErrNotExist
// if it is gone.
func ReadDrop(dir *Dir, e Entry, max int64, buf []byte) ([]byte, Info, error) {
	data, info, err := dir.readSame(e.Name, e.Info, max, buf)
	if errors.Is(err, errReplaced) {
		if info, err = dir.Lstat(e.Name); err == nil {
			data, info, err = dir.readSame(e.Name, info, max, buf)
		}
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, info, &UnfitError{Reason: "not readable: permission denied", MayHeal: true}
	case err == nil && info.Links > 1:
		// Perhaps a file from elsewhere under a second name, perhaps a
		// producer between link and unlink.
		return nil, info, &UnfitError{Reason: fmt.Sprintf("has %d hard links: it may be a file from elsewhere", info.Links), MayHeal: true}
	}
	return data, info, err
}

// checkFit returns an *UnfitError if such a file is not to be read.
func checkFit(info Info, max int64) error {
	switch {
	case !info.Mode.IsRegular():
		return &UnfitError{Reason: kind(info.Mode) + ", not a regular file"}
	case !info.Ours():
		return &UnfitError{Reason: (&OwnerError{info.UID}).Error()}
	case info.Size > max:
		return &UnfitError{Reason: fmt.Sprintf("%d bytes, more than the limit of %d", info.Size, max)}
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
