package spoolfiles

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Dir is an open directory. Its methods take names of entries, not paths, and
// reach nothing outside the directory. They do not follow links: a file or
// directory that is opened is the inode that Lstat shows, and opening never
// blocks. They may be called concurrently, but not beside Close.
type Dir struct {
	path string
	root *os.Root                 // resolves names
	self func() (*os.File, error) // the directory itself, opened when first needed: to sync, and to rename in

	// An os.Root renames only what is below it, so where Rename uses one, it is
	// that of .spool for all directories of the spool.
	top *os.Root
	rel string // the path from top, with a slash at the end; "" for top itself
}

// Info is what a stat of a directory's entry says.
type Info struct {
	Identity
	Mode  fs.FileMode // type and permissions
	UID   uint32      // owner; 0 where the system has no such number
	Links uint64      // hard links

	dev uint64
}

// Identity tells one file from another that later has the same name.
type Identity struct {
	Ino   uint64
	Size  int64 // bytes
	MTime int64 // nanoseconds since 1970
}

// is reports whether both describe one and the same file.
func (i Info) is(other Info) bool { return i.Ino == other.Ino && i.dev == other.dev }

// Ours reports whether the file belongs to this user. It always does where the
// system has no user numbers.
func (i Info) Ours() bool { return !hasOwners || i.UID == uint32(os.Geteuid()) }

// loose reports whether others than the owner have any permission.
func (i Info) loose() bool { return hasOwners && i.Mode&0o077 != 0 }

// isLink includes Windows' junctions.
func (i Info) isLink() bool { return i.Mode&(fs.ModeSymlink|fs.ModeIrregular) != 0 }

// OpenDir opens a directory by its path. Links on the way there are followed,
// and it may belong to anybody.
func OpenDir(path string) (*Dir, error) {
	d := &Dir{path: filepath.Clean(path)}
	root, err := os.OpenRoot(d.path + "/") // with the slash it does not block on a FIFO
	if err != nil {
		return nil, d.fail("open", "", err)
	}
	d.root, d.top = root, root
	d.self = sync.OnceValues(func() (*os.File, error) { return root.OpenFile(".", os.O_RDONLY|nonblock, 0) })
	return d, nil
}

// OpenDir opens the directory name in d, which must belong to this user: in
// somebody else's directory anybody could replace any file at any moment. The
// error wraps an *OwnerError if it does not.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	info, err := d.Lstat(name)
	if err == nil {
		err = info.checkFit(fs.ModeDir)
	}
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	sub, err := OpenDir(d.join(name))
	if err != nil {
		return nil, err
	}
	if opened, err := sub.Stat(); err != nil || !opened.is(info) {
		return nil, errors.Join(d.fail("open", name, errors.New("was replaced while it was opened")), sub.Close())
	}
	sub.top, sub.rel = d.top, d.rel+name+"/"
	return sub, nil
}

// Close releases the directory. A nil Dir has nothing to release.
func (d *Dir) Close() error {
	if d == nil {
		return nil
	}
	err := d.root.Close() // from here on self fails, unless it was open
	if self, serr := d.self(); serr == nil {
		err = errors.Join(err, self.Close())
	}
	return err
}

// Path is the path under which the directory was opened. The directory may have
// been moved since.
func (d *Dir) Path() string { return d.path }

func (d *Dir) join(name string) string { return filepath.Join(d.path, name) }

// fail names the file by its whole path, whatever err calls it. The empty name
// is the directory itself.
func (d *Dir) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &fs.PathError{Op: op, Path: d.join(name), Err: err}
}

// Lstat describes the entry name itself, be it a link.
func (d *Dir) Lstat(name string) (Info, error) {
	info, err := lstat(d.root, name)
	return info, d.fail("lstat", name, err)
}

// Stat describes the directory itself.
func (d *Dir) Stat() (Info, error) {
	info, err := lstat(d.root, ".")
	return info, d.fail("stat", "", err)
}

// OpenFile opens the regular file name, which must belong to this user. flag is
// one of os.O_RDONLY, os.O_WRONLY and os.O_RDWR, with os.O_CREATE and os.O_EXCL
// as wished. A new file has mode 0600, and a file that is opened for writing is
// made private if it was not. The error wraps an *UnfitError if something else is
// there.
func (d *Dir) OpenFile(name string, flag int) (*os.File, error) {
	for {
		if flag&os.O_CREATE != 0 {
			f, err := d.create(name, flag)
			if flag&os.O_EXCL != 0 || !errors.Is(err, fs.ErrExist) {
				return f, err
			}
		}
		f, info, err := d.open(name, flag&^os.O_CREATE)
		if flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err == nil && flag&(os.O_WRONLY|os.O_RDWR) != 0 && info.loose() {
			_ = f.Chmod(0o600) // fails where the file system has no modes
		}
		return f, err
	}
}

// open opens a file that exists.
func (d *Dir) open(name string, flag int) (*os.File, Info, error) {
	for {
		var f *os.File
		before, err := d.Lstat(name)
		if err == nil {
			err = before.checkFit(0)
		}
		if err == nil {
			f, err = d.root.OpenFile(name, flag|nonblock, 0)
		}
		if err != nil {
			return nil, before, d.fail("open", name, err)
		}
		info, err := stat(f)
		if err == nil && info.is(before) {
			return f, info, nil
		}
		f.Close()
		if err != nil {
			return nil, before, d.fail("stat", name, err)
		}
	}
}

// Create creates the file name, mode 0600, for writing; it must not exist.
func (d *Dir) Create(name string) (*os.File, error) { return d.create(name, os.O_WRONLY) }

func (d *Dir) create(name string, flag int) (*os.File, error) {
	f, err := d.root.OpenFile(name, flag|os.O_CREATE|os.O_EXCL|nonblock, 0o600)
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	_ = f.Chmod(0o600) // despite the umask; fails where the file system has no modes
	return f, nil
}

// Mkdir makes the directory name, mode 0700.
func (d *Dir) Mkdir(name string) error {
	err := d.root.Mkdir(name, 0o700)
	if err == nil {
		_ = d.root.Chmod(name, 0o700) // despite the umask; fails where the file system has no modes
	}
	return d.fail("mkdir", name, err)
}

// Symlink makes name a symbolic link to target, which may be anything.
func (d *Dir) Symlink(target, name string) error {
	return d.fail("symlink", name, d.root.Symlink(target, name))
}

// Remove removes the entry name, which is no directory.
func (d *Dir) Remove(name string) error {
	info, err := d.Lstat(name)
	if err == nil && info.Mode.IsDir() {
		err = errors.New("is a directory")
	}
	if err == nil {
		err = retry(func() error { return d.root.Remove(name) })
	}
	return d.fail("remove", name, err)
}

// RemoveAll removes the entry name and, if it is a directory, all that is in it.
func (d *Dir) RemoveAll(name string) error {
	return d.fail("remove", name, retry(func() error { return d.root.RemoveAll(name) }))
}

// Rename moves the entry name to toName in the directory to, over a file that
// is there. Both are of one spool.
func (d *Dir) Rename(name string, to *Dir, toName string) (err error) {
	if !isName(name) || !isName(toName) {
		err = errors.New("is not a plain file name")
	} else {
		err = retry(func() error { return rename(d, name, to, toName) })
	}
	return d.fail("rename", name, err)
}

// isName reports whether an entry can have the name.
func isName(name string) bool { return name == filepath.Base(name) && filepath.IsLocal(name) }

// Touch sets the modification time of the file name to now.
func (d *Dir) Touch(name string) error {
	return d.fail("touch", name, d.root.Chtimes(name, time.Time{}, time.Now()))
}

// Sync brings the directory's entries to the disk.
func (d *Dir) Sync() error {
	self, err := d.self()
	if err == nil {
		err = syncDir(self)
	}
	return d.fail("sync", "", err)
}

// List returns the names of the entries, in no order. Entries made or removed
// meanwhile may or may not be among them. A nil Dir has none.
func (d *Dir) List() ([]string, error) {
	if d == nil {
		return nil, nil
	}
	// Not self: concurrent callers would share its position.
	f, err := d.root.OpenFile(".", os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, d.fail("list", "", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return names, d.fail("list", "", err)
}

// WriteFile writes a file that others see whole or not at all: first to a
// temporary name in via, then by a rename over name. With sync, the content is
// on the disk before the rename.
func (d *Dir) WriteFile(name string, data []byte, via *Dir, sync bool) error {
	tmp := NewID() + ".tmp"
	if _, err := via.writeNew(tmp, bytes.NewReader(data), sync); err != nil {
		return err
	}
	err := via.Rename(tmp, d, name)
	if err != nil {
		via.Remove(tmp)
	}
	return err
}

// writeNew creates name, which must not exist, and returns how many bytes of
// content are in it. On an error nothing is left behind.
func (d *Dir) writeNew(name string, content io.WriterTo, sync bool) (n int64, err error) {
	f, err := d.Create(name)
	if err != nil {
		return 0, err
	}
	n, err = content.WriteTo(f)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		d.Remove(name)
	}
	return n, err
}
