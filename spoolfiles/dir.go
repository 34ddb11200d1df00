package spoolfiles

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// Dir is a directory: one that was opened, or one in it. Its methods take names
// of entries, not paths, and reach nothing outside of what was opened. They do not
// follow links: a file or directory that is opened is the inode that Lstat shows,
// and opening never blocks. They may be called concurrently, but not beside Close.
type Dir struct {
	path string
	root *os.Root // of the directory that was opened
	rel  string   // the name in it; "" for that directory itself
}

// Info is what a stat of a directory's entry says.
type Info struct {
	Identity
	Mode  fs.FileMode // type and permissions
	UID   uint32      // owner; 0 where the system has no such number
	Links uint64      // hard links; 1 where the system does not tell

	fi fs.FileInfo
}

// Identity tells one file from another that later has the same name.
type Identity struct {
	Ino   uint64 // 0 where the system does not tell
	Size  int64  // bytes
	MTime int64  // nanoseconds since 1970
}

// Is reports whether both describe one and the same file, whatever has been written
// to it meanwhile.
func (i Info) Is(other Info) bool { return os.SameFile(i.fi, other.fi) }

func lstat(root *os.Root, name string) (Info, error) { return infoOf(root.Lstat(name)) }

func stat(f *os.File) (Info, error) { return infoOf(f.Stat()) }

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
	d.root = root
	return d, nil
}

// openSub opens the directory name in d, for itself.
func (d *Dir) openSub(name string) (*Dir, error) {
	info, err := d.Sub(name).Stat()
	if err != nil {
		return nil, err
	}
	sub, err := OpenDir(d.join(name))
	if err != nil {
		return nil, err
	}
	if opened, err := lstat(sub.root, "."); err != nil || !opened.Is(info) {
		return nil, errors.Join(d.fail("open", name, errors.New("was replaced while it was opened")), sub.Close())
	}
	return sub, nil
}

// Sub returns the directory name in d, which has been opened. It need not exist,
// and needs no closing.
func (d *Dir) Sub(name string) *Dir { return &Dir{path: d.join(name), root: d.root, rel: d.in(name)} }

// Close releases the directory and those in it.
func (d *Dir) Close() error { return d.root.Close() }

// Path is the path under which the directory was opened. The directory may have
// been moved since.
func (d *Dir) Path() string { return d.path }

func (d *Dir) join(name string) string { return filepath.Join(d.path, name) }

// in is the name as the root takes it. It refuses that of a name which leaves the
// directory.
func (d *Dir) in(name string) string {
	if name == "." || name != filepath.Base(name) || !filepath.IsLocal(name) {
		return ".."
	}
	return path.Join(d.rel, name)
}

// self is the directory's own name.
func (d *Dir) self() string { return cmp.Or(d.rel, ".") }

// fail names the file by its whole path, whatever err calls it. The empty name
// is the directory itself.
func (d *Dir) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	} else if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	return &fs.PathError{Op: op, Path: d.join(name), Err: err}
}

// Lstat describes the entry name itself, be it a link.
func (d *Dir) Lstat(name string) (Info, error) {
	info, err := lstat(d.root, d.in(name))
	return info, d.fail("lstat", name, err)
}

// Stat describes the directory itself. The error wraps fs.ErrNotExist, an
// *UnfitError if a link or a file is there, or an *OwnerError if it belongs to
// another user: in that one's directory anybody could replace any file at any
// moment.
func (d *Dir) Stat() (Info, error) {
	info, err := lstat(d.root, d.self())
	if err == nil {
		err = info.checkFit(fs.ModeDir)
	}
	return info, d.fail("open", "", err)
}

// tighten takes from others what they may do with the directory. It fails where
// the file system has no modes, and this changes nothing.
func (d *Dir) tighten(info Info) {
	if info.loose() {
		_ = d.root.Chmod(d.self(), info.Mode&0o700)
	}
}

// OpenFile opens the regular file name, which must belong to this user. flag is
// one of os.O_RDONLY, os.O_WRONLY and os.O_RDWR, with os.O_CREATE and os.O_EXCL
// as wished. A new file has mode 0600, and a file that is opened for writing is
// made private if it was not. The error wraps an *UnfitError if something else is
// there.
func (d *Dir) OpenFile(name string, flag int) (*os.File, error) {
	for {
		if flag&os.O_EXCL != 0 {
			return d.create(name, flag)
		}
		f, info, err := d.open(name, flag&^os.O_CREATE)
		if flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist) {
			if f, err = d.create(name, flag); errors.Is(err, fs.ErrExist) {
				continue // made since
			}
			return f, err
		}
		if err == nil && flag&(os.O_WRONLY|os.O_RDWR) != 0 && info.loose() {
			_ = f.Chmod(0o600) // fails where the file system has no modes
		}
		return f, err
	}
}

// open opens a file that exists.
func (d *Dir) open(name string, flag int) (*os.File, Info, error) {
	f, info, err := openAs(d.root, d.in(name), flag, 0)
	return f, info, d.fail("open", name, err)
}

// openAs opens a file, or a directory, that is of this type and belongs to this
// user. A root follows links that stay inside it, so what it has opened must be
// what was there before.
func openAs(root *os.Root, name string, flag int, want fs.FileMode) (*os.File, Info, error) {
	for tries := 1; ; tries++ {
		before, err := lstat(root, name)
		if err == nil {
			err = before.checkFit(want)
		}
		if err != nil {
			return nil, before, err
		}
		f, err := root.OpenFile(name, flag|nonblock, 0)
		if err != nil {
			return nil, before, err
		}
		info, err := stat(f)
		if err == nil && info.Is(before) {
			return f, info, nil
		}
		f.Close()
		if err == nil && tries == 3 {
			err = errors.New("was replaced while it was opened")
		}
		if err != nil {
			return nil, before, err
		}
	}
}

// create creates the file name, mode 0600; it must not exist.
func (d *Dir) create(name string, flag int) (*os.File, error) {
	f, err := d.root.OpenFile(d.in(name), flag|os.O_CREATE|os.O_EXCL|nonblock, 0o600)
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	_ = f.Chmod(0o600) // despite the umask; fails where the file system has no modes
	return f, nil
}

// Mkdir makes the directory name, mode 0700.
func (d *Dir) Mkdir(name string) error {
	err := d.root.Mkdir(d.in(name), 0o700)
	if err == nil {
		_ = d.root.Chmod(d.in(name), 0o700) // despite the umask; fails where the file system has no modes
	}
	return d.fail("mkdir", name, err)
}

// Symlink makes name a symbolic link to target, which may be anything.
func (d *Dir) Symlink(target, name string) error {
	return d.fail("symlink", name, d.root.Symlink(target, d.in(name)))
}

// Remove removes the entry name, which is a file or an empty directory.
func (d *Dir) Remove(name string) error {
	return d.fail("remove", name, retry(func() error { return d.root.Remove(d.in(name)) }))
}

// RemoveAll removes the entry name and, if it is a directory, all that is in it.
func (d *Dir) RemoveAll(name string) error {
	return d.fail("remove", name, retry(func() error { return d.root.RemoveAll(d.in(name)) }))
}

// Rename moves the entry name to toName in the directory to, over a file that
// is there. Both directories are Subs of one.
func (d *Dir) Rename(name string, to *Dir, toName string) error {
	return d.fail("rename", name, retry(func() error { return d.root.Rename(d.in(name), to.in(toName)) }))
}

// Touch sets the modification time of the file name to now.
func (d *Dir) Touch(name string) error {
	return d.fail("touch", name, d.root.Chtimes(d.in(name), time.Time{}, time.Now()))
}

// Sync brings the directory's entries to the disk.
func (d *Dir) Sync() error {
	f, _, err := openAs(d.root, d.self(), os.O_RDONLY, fs.ModeDir)
	if err == nil {
		err = errors.Join(syncDir(f), f.Close())
	}
	return d.fail("sync", "", err)
}

// List returns the names of the entries, in no order. Entries made or removed
// meanwhile may or may not be among them. A directory that does not exist has
// none.
func (d *Dir) List() ([]string, error) {
	f, _, err := openAs(d.root, d.self(), os.O_RDONLY, fs.ModeDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
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
	tmp := "." + NewID() + ".tmp"
	if _, err := via.writeNew(tmp, bytes.NewReader(data), sync); err != nil {
		return d.fail("write", name, err)
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
	f, err := d.create(name, os.O_WRONLY)
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
