package spoolfiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// UnfitError says why a file is not read, or a directory not opened.
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

// checkFit returns an *UnfitError or an *OwnerError if this is nothing to open:
// not of this type, 0 for a regular file, or not of this user.
func (i Info) checkFit(want fs.FileMode) error {
	const directory = "; remove it, or make it a directory"
	switch {
	case i.isLink() && want == fs.ModeDir:
		return &UnfitError{Reason: "is a symbolic link, which is not followed" + directory}
	case i.isLink():
		return &UnfitError{Reason: "a symbolic link, which is not followed"}
	case i.Mode.Type() != want && want == fs.ModeDir:
		return &UnfitError{Reason: "is not a directory" + directory}
	case i.Mode.Type() != want:
		return &UnfitError{Reason: "not a regular file"}
	case !i.Ours():
		return &OwnerError{i.UID}
	}
	return nil
}

// ReadFile reads the regular file name, which must belong to this user and have
// at most max bytes.
func (d *Dir) ReadFile(name string, max int64) ([]byte, Info, error) {
	f, info, err := d.open(name, os.O_RDONLY)
	if err != nil {
		return nil, info, err
	}
	defer f.Close()
	if info.Size > max {
		err := &UnfitError{Reason: fmt.Sprintf("%d bytes, more than the limit of %d", info.Size, max)}
		return nil, info, d.fail("read", name, err)
	}
	// What is appended from here on is not read: its time says that it is fresh.
	buf := make([]byte, info.Size)
	n, err := io.ReadFull(f, buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, info, d.fail("read", name, err)
	}
	return buf[:n], info, nil
}

// ReadDrop reads a drop in dir, which is incoming or work, and returns its content
// and what its file was then. At most max bytes are read.
//
// The error wraps an *UnfitError if the drop is at fault, and fs.ErrNotExist if
// it is gone.
func ReadDrop(dir *Dir, name string, max int64) ([]byte, Info, error) {
	data, info, err := dir.ReadFile(name, max)
	owner, isOwner := errors.AsType[*OwnerError](err)
	switch {
	case isOwner:
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
