package spoolfiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// UnfitError says why a file is not read.
type UnfitError struct {
	Reason string
	// MayHeal: the producer may still be at work on it, so a drop is worth
	// another try while it is fresh.
	MayHeal bool
}

func (e *UnfitError) Error() string { return e.Reason }

// OwnerError says that a file or directory belongs to another user.
type OwnerError struct{ UID uint32 }

func (e *OwnerError) Error() string {
	return fmt.Sprintf("belongs to user %d, not to this user (%d)", e.UID, os.Geteuid())
}

// checkFit returns an *UnfitError or an *OwnerError if such a file is not to be
// read.
func (i Info) checkFit(max int64) error {
	switch {
	case i.isLink():
		return &UnfitError{Reason: "a symbolic link, which is not followed"}
	case !i.Mode.IsRegular():
		return &UnfitError{Reason: "not a regular file"}
	case !i.Ours():
		return &OwnerError{i.UID}
	case i.Size > max:
		return &UnfitError{Reason: fmt.Sprintf("%d bytes, more than the limit of %d", i.Size, max)}
	}
	return nil
}

// ReadFile reads the regular file name, which must belong to this user and have
// at most max bytes.
func (d *Dir) ReadFile(name string, max int64) ([]byte, Info, error) {
	info, err := d.Lstat(name)
	if err != nil {
		return nil, info, err
	}
	return d.readSame(name, info, max, nil)
}

// ReadDrop reads a drop that was listed in dir, which is incoming or work, into
// buf if there is room, and returns its content and what its file was then. At
// most max bytes are read.
//
// The error wraps an *UnfitError if the drop is at fault, and fs.ErrNotExist if
// it is gone.
func ReadDrop(dir *Dir, e Entry, max int64, buf []byte) ([]byte, Info, error) {
	data, info, err := dir.readSame(e.Name, e.Info, max, buf)
	if errors.Is(err, errReplaced) {
		if info, err = dir.Lstat(e.Name); err == nil {
			data, info, err = dir.readSame(e.Name, info, max, buf)
		}
	}
	var owner *OwnerError
	switch {
	case errors.As(err, &owner):
		return nil, info, &UnfitError{Reason: owner.Error()}
	case errors.Is(err, fs.ErrPermission):
		return nil, info, &UnfitError{Reason: "not readable: permission denied", MayHeal: true}
	case err == nil && info.Links > 1:
		// Perhaps a file from elsewhere under a second name, perhaps a
		// producer between link and unlink.
		return nil, info, &UnfitError{Reason: fmt.Sprintf("has %d hard links: it may be a file from elsewhere", info.Links), MayHeal: true}
	}
	return data, info, err
}

// readSame reads the file name, into buf if there is room, if it is the one that
// before describes; if it is another, the error wraps errReplaced.
func (d *Dir) readSame(name string, before Info, max int64, buf []byte) ([]byte, Info, error) {
	if err := before.checkFit(max); err != nil {
		return nil, before, d.fail("read", name, err)
	}
	f, info, err := d.openSame(name, os.O_RDONLY, before)
	if err != nil {
		return nil, info, err
	}
	defer f.Close()
	if err := info.checkFit(max); err != nil {
		return nil, info, d.fail("read", name, err)
	}
	// One byte more than the file has, so that one read shows its end.
	buf = slices.Grow(buf[:0], int(info.Size)+1)
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case err == io.EOF, err == nil && int64(len(buf)) >= info.Size:
			return buf, info, nil
		case err != nil:
			return nil, info, d.fail("read", name, err)
		}
	}
}
