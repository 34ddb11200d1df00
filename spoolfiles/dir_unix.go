//go:build unix

package spoolfiles

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

type dirHandle struct{ f *os.File }

const openDirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

// OpenDir opens a directory by its path. Links on the way there are followed:
// the way to a project is the user's own affair.
func OpenDir(path string) (*Dir, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, openDirFlags, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{path, dirHandle{os.NewFile(uintptr(fd), path)}}, nil
}

// OpenDir opens the directory name in d. A link to a directory is an error.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	fd, err := d.openat(name, openDirFlags, 0)
	if err != nil {
		return nil, err
	}
	path := d.join(name)
	return &Dir{path, dirHandle{os.NewFile(uintptr(fd), path)}}, nil
}

// Close releases the directory.
func (d *Dir) Close() error { return d.f.Close() }

func (d *Dir) fd() int { return int(d.f.Fd()) }

func (d *Dir) openat(name string, flags int, perm uint32) (int, error) {
	if err := checkName(name); err != nil {
		return -1, d.fail("open", name, err)
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
	})
	runtime.KeepAlive(d)
	if err != nil {
		return -1, d.fail("open", name, linkError(err))
	}
	return fd, nil
}

// linkError names ELOOP ("too many levels of symbolic links"), which is how the
// system says that it met a link it was told not to follow.
func linkError(err error) error {
	if err == unix.ELOOP || err == unix.EMLINK {
		return errLink
	}
	return err
}

// OpenFile opens the regular file name, without following and without
// blocking. flag is one of os.O_RDONLY, os.O_WRONLY, os.O_RDWR, with
// os.O_CREATE, os.O_EXCL and os.O_TRUNC as wished; new files get mode 0600.
func (d *Dir) OpenFile(name string, flag int) (*os.File, error) {
	fd, err := d.openat(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, d.fail("stat", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, d.fail("open", name, errors.New("is not a regular file"))
	}
	// O_NONBLOCK means nothing for a regular file, but os.NewFile would try
	// to hand such a descriptor to the poller.
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, d.fail("open", name, err)
	}
	return os.NewFile(uintptr(fd), d.join(name)), nil
}

// Create creates the file name for writing; it must not exist.
func (d *Dir) Create(name string) (*os.File, error) {
	fd, err := d.openat(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.join(name)), nil
}

// readFile reads the regular file name into buf, growing it where needed, but
// not if the file has more than max bytes: then data is nil.
func (d *Dir) readFile(name string, max int64, buf []byte) (data []byte, info Info, err error) {
	fd, err := d.openat(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, Info{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, Info{}, d.fail("stat", name, err)
	}
	info = infoOf(&st)
	if !info.Mode.IsRegular() || info.Size > max {
		return nil, info, nil
	}
	// One byte more than the file has, so that one read shows its end.
	need := int(info.Size) + 1
	if cap(buf) < need {
		buf = make([]byte, need+min(need/4, 64<<10))
	}
	buf = buf[:cap(buf)]
	n := 0
	for {
		m, err := retry(func() (int, error) { return unix.Read(fd, buf[n:]) })
		if err != nil {
			return nil, info, d.fail("read", name, err)
		}
		n += m
		if m == 0 || n < len(buf) && int64(n) == info.Size {
			return buf[:n], info, nil
		}
		if int64(n) > max {
			info.Size = int64(n)
			return nil, info, nil
		}
		if n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// Lstat describes the entry name itself, be it a link.
func (d *Dir) Lstat(name string) (Info, error) {
	var st unix.Stat_t
	if err := d.lstat(name, &st); err != nil {
		return Info{}, d.fail("lstat", name, err)
	}
	return infoOf(&st), nil
}

func (d *Dir) lstat(name string, st *unix.Stat_t) error {
	if err := checkName(name); err != nil {
		return err
	}
	_, err := retry(func() (int, error) {
		return 0, unix.Fstatat(d.fd(), name, st, unix.AT_SYMLINK_NOFOLLOW)
	})
	runtime.KeepAlive(d)
	return err
}

// Stat describes the directory itself.
func (d *Dir) Stat() (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: d.path, Err: err}
	}
	return infoOf(&st), nil
}

func infoOf(st *unix.Stat_t) Info {
	mode := fs.FileMode(st.Mode & 0o777)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	default:
		mode |= fs.ModeIrregular
	}
	return Info{
		Identity: Identity{Ino: uint64(st.Ino), Size: st.Size, MTime: st.Mtim.Nano()},
		Mode:     mode,
		UID:      st.Uid,
		Links:    uint64(st.Nlink),
	}
}

// Remove unlinks name. It removes no directories.
func (d *Dir) Remove(name string) error {
	if err := checkName(name); err != nil {
		return d.fail("remove", name, err)
	}
	_, err := retry(func() (int, error) { return 0, unix.Unlinkat(d.fd(), name, 0) })
	runtime.KeepAlive(d)
	if err != nil {
		return d.fail("remove", name, err)
	}
	return nil
}

// Symlink makes name a symbolic link to target, which may be anything.
func (d *Dir) Symlink(target, name string) error {
	if err := checkName(name); err != nil {
		return d.fail("symlink", name, err)
	}
	_, err := retry(func() (int, error) { return 0, unix.Symlinkat(target, d.fd(), name) })
	runtime.KeepAlive(d)
	if err != nil {
		return d.fail("symlink", name, err)
	}
	return nil
}

// Rename moves name to toName in the directory to, over whatever is there.
func (d *Dir) Rename(name string, to *Dir, toName string) error {
	if err := errors.Join(checkName(name), checkName(toName)); err != nil {
		return &os.LinkError{Op: "rename", Old: d.join(name), New: to.join(toName), Err: err}
	}
	_, err := retry(func() (int, error) { return 0, unix.Renameat(d.fd(), name, to.fd(), toName) })
	runtime.KeepAlive(d)
	runtime.KeepAlive(to)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: d.join(name), New: to.join(toName), Err: err}
	}
	return nil
}

// Mkdir makes the directory name, mode 0700.
func (d *Dir) Mkdir(name string) error {
	if err := checkName(name); err != nil {
		return d.fail("mkdir", name, err)
	}
	if err := unix.Mkdirat(d.fd(), name, 0o700); err != nil {
		return d.fail("mkdir", name, err)
	}
	runtime.KeepAlive(d)
	return nil
}

// Writable reports whether this process may create and remove entries in d.
func (d *Dir) Writable() error {
	if err := unix.Faccessat(d.fd(), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "write to", Path: d.path, Err: err}
	}
	runtime.KeepAlive(d)
	return nil
}

// Sync brings the directory's entries to the disk.
func (d *Dir) Sync() error {
	if err := d.f.Sync(); err != nil {
		return &fs.PathError{Op: "sync", Path: d.path, Err: err}
	}
	return nil
}

// Each calls fn for every entry but "." and "..", in no order, until fn
// returns an error. name is only valid during the call; ino is 0 where the
// listing does not tell it. Entries made or removed meanwhile may or may not
// be seen. A nil Dir has none.
func (d *Dir) Each(fn func(name []byte, ino uint64) error) error {
	if d == nil {
		return nil
	}
	// A fresh descriptor: the position of a listing belongs to the open file,
	// which concurrent callers would share.
	fd, err := retry(func() (int, error) { return unix.Openat(d.fd(), ".", openDirFlags, 0) })
	runtime.KeepAlive(d)
	if err != nil {
		return &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	err = eachEntry(fd, d.path, fn)
	if err != nil && err != io.EOF {
		var pe *fs.PathError
		if errno := unix.Errno(0); errors.As(err, &errno) && !errors.As(err, &pe) {
			return &fs.PathError{Op: "list", Path: d.path, Err: errno}
		}
		return err
	}
	return nil
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// ours reports whether a file of this owner is ours to read.
func ours(uid uint32) bool { return uid == uint32(os.Geteuid()) }

// same reports whether the entry name of parent is the open directory d.
func same(parent *Dir, name string, d *Dir) bool {
	var at, open unix.Stat_t
	if parent.lstat(name, &at) != nil || unix.Fstat(d.fd(), &open) != nil {
		return false
	}
	return at.Dev == open.Dev && at.Ino == open.Ino
}

// OpenSafely are the flags that keep an opening by path from following a link
// or blocking.
const OpenSafely = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY

// Ours reports whether the file belongs to this user.
func (i Info) Ours() bool { return ours(i.UID) }
