package spoolfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Dir is an open directory. Its methods take plain names, no paths, and never
// follow a link. They may be called concurrently, but not beside Close.
//
// It exists because os.Root, which is what it is made of on Windows, costs
// several allocations and a poller registration a file: too much for a
// directory of a million drops.
type Dir struct {
	path string // as it was opened, for messages only
	dirHandle
}

// Path is the path under which the directory was opened. It is for messages:
// the directory may have been moved since.
func (d *Dir) Path() string { return d.path }

func (d *Dir) join(name string) string { return filepath.Join(d.path, name) }

// LockError is the error of not getting the lock on a file by its LockPath; it
// names the file as people know it.
func (d *Dir) LockError(name string, err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return d.fail("lock", name, err)
}

// errNotAName guards against names that would leave the directory.
var errNotAName = errors.New("not a plain file name")

var errLink = errors.New("is a symbolic link, which is not followed")

// checkName rejects everything that is not one component of a path.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") ||
		(os.PathSeparator != '/' && strings.ContainsAny(name, `\:`)) {
		return errNotAName
	}
	return nil
}

// ValidName reports whether name is one component of a path, as all methods of
// Dir want it.
func ValidName(name string) bool { return checkName(name) == nil }

func (d *Dir) fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: d.join(name), Err: err}
}

// Identity tells one file from another that later has the same name.
type Identity struct {
	Ino   uint64 // 0 where the system has none to give
	Size  int64  // bytes
	MTime int64  // nanoseconds since 1970
}

// Info is what a stat of a directory's entry says.
type Info struct {
	Identity
	Mode  fs.FileMode // type and permissions
	UID   uint32      // owner; our own where the system has no such number
	Links uint64      // hard links
}

// WriteFile writes a file that others see whole or not at all: first to a
// temporary name in via, then by a rename over name. With sync, the content is
// on the disk before the rename.
func (d *Dir) WriteFile(name string, data []byte, via *Dir, sync bool) error {
	tmp := uniqueName() + ".tmp"
	if err := via.writeNew(tmp, data, sync); err != nil {
		return err
	}
	if err := via.Rename(tmp, d, name); err != nil {
		via.Remove(tmp)
		return err
	}
	return nil
}

// writeNew creates name, which must not exist, with data in it. On an error
// nothing is left behind.
func (d *Dir) writeNew(name string, data []byte, sync bool) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		d.Remove(name)
	}
	return err
}
