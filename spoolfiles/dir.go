package spoolfiles

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

var (
	errLink     = errors.New("is a symbolic link, which is not followed")
	errLinkDir  = errors.New("is a symbolic link, which is not followed; remove it, or make it a directory")
	errNoDir    = errors.New("is not a directory")
	errNoFile   = errors.New("is not a regular file")
	errReplaced = errors.New("was replaced while it was opened")
)

// isLink includes Windows' junctions.
func isLink(mode fs.FileMode) bool { return mode&(fs.ModeSymlink|fs.ModeIrregular) != 0 }

// OpenDir opens a directory by its path. Links on the way there are followed,
// and it may belong to anybody.
func OpenDir(path string) (*Dir, error) {
	// "/." keeps the open from blocking on a FIFO.
	root, err := os.OpenRoot(filepath.Clean(path) + "/.")
	if err != nil {
		return nil, pathError("open", path, err)
	}
	return newDir(path, root), nil
}

func newDir(path string, root *os.Root) *Dir {
	self := sync.OnceValues(func() (*os.File, error) { return root.OpenFile(".", os.O_RDONLY|nonblock, 0) })
	return &Dir{path: path, root: root, self: self, top: root}
}

// OpenDir opens the directory name in d, which must belong to this user: in
// somebody else's directory anybody could replace any file at any moment. The
// error wraps an *OwnerError if it does not.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	info, err := d.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case isLink(info.Mode):
		return nil, d.fail("open", name, errLinkDir)
	case !info.Mode.IsDir():
		return nil, d.fail("open", name, errNoDir)
	case !info.Ours():
		return nil, d.fail("open", name, &OwnerError{info.UID})
	}
	root, err := d.root.OpenRoot(name + "/.")
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	sub := newDir(d.join(name), root)
	opened, err := sub.Stat()
	if err == nil && !opened.is(info) {
		err = d.fail("open", name, errReplaced)
	}
	if err != nil {
		sub.Close()
		return nil, err
	}
	sub.top, sub.rel = d.top, d.rel+name+"/"
	return sub, nil
}

// isAt reports whether d is what the entry name of parent is.
func (d *Dir) isAt(parent *Dir, name string) bool {
	there, err := parent.Lstat(name)
	if err != nil {
		return false
	}
	info, err := d.Stat()
	return err == nil && info.is(there)
}

// Close releases the directory.
func (d *Dir) Close() error {
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

func (d *Dir) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return pathError(op, d.join(name), err)
}

// pathError names the file by its whole path, whatever err calls it.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if e := (*os.LinkError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// Lstat describes the entry name itself, be it a link.
func (d *Dir) Lstat(name string) (Info, error) {
	info, err := lstat(d.root, name)
	return info, d.fail("lstat", name, err)
}

// Stat describes the directory itself.
func (d *Dir) Stat() (Info, error) {
	info, err := lstat(d.root, ".")
	return info, pathError("stat", d.path, err)
}

// OpenFile opens the regular file name, which must belong to this user. flag is
// one of os.O_RDONLY, os.O_WRONLY and os.O_RDWR, with os.O_CREATE and os.O_EXCL
// as wished. A new file has mode 0600, and a file that is opened for writing is
// made private if it was not.
func (d *Dir) OpenFile(name string, flag int) (*os.File, error) {
	for {
		info, err := d.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0 {
			f, err := d.create(name, flag)
			if errors.Is(err, fs.ErrExist) && flag&os.O_EXCL == 0 {
				continue // made since
			}
			return f, err
		}
		switch {
		case err != nil:
			return nil, err
		case flag&os.O_EXCL != 0:
			return nil, d.fail("open", name, fs.ErrExist)
		case isLink(info.Mode):
			return nil, d.fail("open", name, errLink)
		case !info.Mode.IsRegular():
			return nil, d.fail("open", name, errNoFile)
		case !info.Ours():
			return nil, d.fail("open", name, &OwnerError{info.UID})
		}
		f, info, err := d.openSame(name, flag&^os.O_CREATE, info)
		if errors.Is(err, errReplaced) || errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0 {
			continue
		}
		if err == nil && flag != os.O_RDONLY && info.loose() {
			_ = f.Chmod(0o600) // it fails where the file system has no modes
		}
		return f, err
	}
}

// openSame opens the file name if it is the one that before describes, else the
// error wraps errReplaced.
func (d *Dir) openSame(name string, flag int, before Info) (*os.File, Info, error) {
	f, err := d.root.OpenFile(name, flag|nonblock, 0)
	if err != nil {
		return nil, before, d.fail("open", name, err)
	}
	info, err := stat(f)
	if err == nil && !info.is(before) {
		err = errReplaced
	}
	if err != nil {
		f.Close()
		return nil, info, d.fail("open", name, err)
	}
	return f, info, nil
}

// Create creates the file name, mode 0600, for writing; it must not exist.
func (d *Dir) Create(name string) (*os.File, error) { return d.create(name, os.O_WRONLY) }

func (d *Dir) create(name string, flag int) (*os.File, error) {
	f, err := d.root.OpenFile(name, flag|os.O_CREATE|os.O_EXCL|nonblock, 0o600)
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	// The umask may have taken the owner's permissions.
	if info, err := stat(f); err == nil && hasOwners && info.Mode.Perm() != 0o600 {
		_ = f.Chmod(0o600) // it fails where the file system has no modes
	}
	return f, nil
}

// Mkdir makes the directory name, mode 0700.
func (d *Dir) Mkdir(name string) error {
	err := d.root.Mkdir(name, 0o700)
	if err != nil {
		return d.fail("mkdir", name, err)
	}
	if info, err := d.Lstat(name); err == nil && hasOwners && info.Mode.Perm() != 0o700 {
		_ = d.root.Chmod(name, 0o700) // it fails where the file system has no modes
	}
	return nil
}

// Remove removes the entry name, which is no directory.
func (d *Dir) Remove(name string) error {
	err := checkName(name)
	if err == nil {
		err = retry(func() error { return remove(d, name) })
	}
	return d.fail("remove", name, err)
}

// RemoveAll removes the entry name and, if it is a directory, all that is in it.
func (d *Dir) RemoveAll(name string) error {
	return d.fail("remove", name, retry(func() error { return d.root.RemoveAll(name) }))
}

// Symlink makes name a symbolic link to target, which may be anything.
func (d *Dir) Symlink(target, name string) error {
	return d.fail("symlink", name, d.root.Symlink(target, name))
}

// Rename moves the entry name to toName in the directory to, over a file that
// is there. Both are of one spool.
func (d *Dir) Rename(name string, to *Dir, toName string) error {
	err := errors.Join(checkName(name), checkName(toName))
	if err == nil {
		err = retry(func() error { return rename(d, name, to, toName) })
	}
	if err != nil {
		err = &os.LinkError{Op: "rename", Old: d.join(name), New: to.join(toName), Err: err}
	}
	return err
}

// checkName refuses names that would leave the directory.
func checkName(name string) error {
	if name != filepath.Base(name) || !filepath.IsLocal(name) {
		return errors.New("is not a plain file name")
	}
	return nil
}

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
	return pathError("sync", d.path, err)
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
		return nil, pathError("list", d.path, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return names, pathError("list", d.path, err)
}

// ReadFile reads the regular file name, which must belong to this user and have
// at most max bytes.
func (d *Dir) ReadFile(name string, max int64) ([]byte, Info, error) {
	info, err := d.Lstat(name)
	if err != nil {
		return nil, info, err
	}
	data, info, err := d.readSame(name, info, max, nil)
	if err != nil {
		err = d.fail("read", name, err)
	}
	return data, info, err
}

// readSame reads the file name, into buf if there is room, if it is the one that
// before describes. The error is an *UnfitError if it is not to be read, and
// wraps errReplaced if it is another file.
func (d *Dir) readSame(name string, before Info, max int64, buf []byte) ([]byte, Info, error) {
	if err := checkFit(before, max); err != nil {
		return nil, before, err
	}
	f, info, err := d.openSame(name, os.O_RDONLY, before)
	if err != nil {
		return nil, info, err
	}
	defer f.Close()
	if err := checkFit(info, max); err != nil {
		return nil, info, err
	}
	// One byte more than the file has, so that one read shows its end.
	buf = slices.Grow(buf[:0], int(info.Size)+1)
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch size := int64(len(buf)); {
		case err == io.EOF, err == nil && size == info.Size:
			return buf, info, nil
		case err != nil:
			return nil, info, d.fail("read", name, err)
		case size > info.Size:
			return nil, info, &UnfitError{Reason: "has grown while it was read", MayHeal: true}
		}
	}
}

// WriteFile writes a file that others see whole or not at all: first to a
// temporary name in via, then by a rename over name. With sync, the content is
// on the disk before the rename.
func (d *Dir) WriteFile(name string, data []byte, via *Dir, sync bool) error {
	tmp := NewID() + ".tmp"
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
	if err = errors.Join(err, f.Close()); err != nil {
		d.Remove(name)
	}
	return err
}
