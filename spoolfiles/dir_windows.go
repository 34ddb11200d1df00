package spoolfiles

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

type dirHandle struct{ root *os.Root }

// OpenDir opens a directory by its path.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{path, dirHandle{root}}, nil
}

// OpenDir opens the directory name in d. A link to a directory is an error.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	if err := d.refuseLink("open", name); err != nil {
		return nil, err
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Dir{d.join(name), dirHandle{root}}, nil
}

// refuseLink is a check before the act, and so weaker than on Unix; that links
// stay below the directory is what os.Root sees to.
func (d *Dir) refuseLink(op, name string) error {
	if err := checkName(name); err != nil {
		return d.fail(op, name, err)
	}
	if fi, err := d.root.Lstat(name); err == nil && fi.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 {
		return d.fail(op, name, errors.New("is a link, which is not followed"))
	}
	return nil
}

// Close releases the directory.
func (d *Dir) Close() error { return d.root.Close() }

// OpenFile opens the regular file name, without following. flag is as for
// os.OpenFile.
func (d *Dir) OpenFile(name string, flag int) (*os.File, error) {
	if err := d.refuseLink("open", name); err != nil {
		return nil, err
	}
	return d.root.OpenFile(name, flag, 0o600)
}

// Create creates the file name for writing; it must not exist.
func (d *Dir) Create(name string) (*os.File, error) {
	return d.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
}

func (d *Dir) readFile(name string, max int64, buf []byte) (data []byte, info Info, err error) {
	f, err := d.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, Info{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, Info{}, err
	}
	info = infoOf(fi)
	if !info.Mode.IsRegular() || info.Size > max {
		return nil, info, nil
	}
	data, err = io.ReadAll(io.LimitReader(f, max+1))
	if int64(len(data)) > max {
		info.Size = int64(len(data))
		return nil, info, nil
	}
	return data, info, err
}

// Lstat describes the entry name itself, be it a link.
func (d *Dir) Lstat(name string) (Info, error) {
	if err := checkName(name); err != nil {
		return Info{}, d.fail("lstat", name, err)
	}
	fi, err := d.root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	return infoOf(fi), nil
}

// Stat describes the directory itself.
func (d *Dir) Stat() (Info, error) {
	fi, err := d.root.Stat(".")
	if err != nil {
		return Info{}, err
	}
	return infoOf(fi), nil
}

func infoOf(fi fs.FileInfo) Info {
	return Info{
		Identity: Identity{Size: fi.Size(), MTime: fi.ModTime().UnixNano()},
		Mode:     fi.Mode(),
		Links:    1,
	}
}

// Remove unlinks name. It removes no directories.
func (d *Dir) Remove(name string) error {
	info, err := d.Lstat(name)
	if err != nil {
		return err
	}
	if info.Mode.IsDir() {
		return d.fail("remove", name, errors.New("is a directory"))
	}
	return d.root.Remove(name)
}

// Symlink makes name a symbolic link to target, which may be anything.
func (d *Dir) Symlink(target, name string) error {
	if err := checkName(name); err != nil {
		return d.fail("symlink", name, err)
	}
	return d.root.Symlink(target, name)
}

// Rename moves name to toName in the directory to, over whatever is there.
func (d *Dir) Rename(name string, to *Dir, toName string) error {
	if err := errors.Join(checkName(name), checkName(toName)); err != nil {
		return d.fail("rename", name, err)
	}
	// os.Root renames only below itself, and these two have no common one.
	return os.Rename(d.join(name), to.join(toName))
}

// Mkdir makes the directory name.
func (d *Dir) Mkdir(name string) error { return d.root.Mkdir(name, 0o700) }

// Writable reports whether this process may create and remove entries in d.
// Windows can only tell by trying.
func (d *Dir) Writable() error { return nil }

// Sync does nothing: Windows brings directory entries to the disk by itself.
func (d *Dir) Sync() error { return nil }

// Each calls fn for every entry, in no order, until fn returns an error. A nil
// Dir has none.
func (d *Dir) Each(fn func(name []byte, ino uint64) error) error {
	if d == nil {
		return nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return eachName(f, fn)
}

func ours(uint32) bool { return true }

// same reports whether the entry name of parent is the open directory d.
func same(parent *Dir, name string, d *Dir) bool {
	at, err := parent.root.Lstat(name)
	if err != nil {
		return false
	}
	open, err := d.root.Stat(".")
	return err == nil && os.SameFile(at, open)
}

// OpenSafely are the flags that keep an opening by path from following a link
// or blocking; Windows has none.
const OpenSafely = 0

// LockPath returns a path to name in d, for libraries that open by path.
func (d *Dir) LockPath(name string) string { return d.join(name) }

// Ours reports whether the file belongs to this user.
func (i Info) Ours() bool { return ours(i.UID) }
