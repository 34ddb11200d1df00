package hooks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile is many times what the settings of any tool are.
const maxFile = 4 << 20

// A file is what is at a path: its content, nil if there is none, and where it
// really is if the path leads over links.
type file struct {
	path string
	real string
	data []byte
	info fs.FileInfo // nil if there is no file
}

// open reads a file. One below a project must not lead out of it: a cloned
// repository may have links in it.
func open(path, project string) (file, error) {
	f := file{path: path}
	var err error
	if f.real, err = resolve(path); errors.Is(err, syscall.ENOTDIR) {
		return f, fmt.Errorf("%s: a part of its path is %w", path, err)
	} else if err != nil {
		return f, err
	}
	if project != "" {
		root, err := filepath.EvalSymlinks(project)
		if err != nil {
			return f, err
		}
		if rel, err := filepath.Rel(root, f.real); err != nil || !filepath.IsLocal(rel) {
			return f, fmt.Errorf("%s leads out of its project, to %s; put a file there instead", path, f.real)
		}
	}
	f.data, f.info, err = read(f.real)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return f, err
}

// resolve is the path without links, of what may not be there yet.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		return "", fmt.Errorf("%s is a link to nothing; make what it leads to, or remove the link first", path)
	}
	dir, err := resolve(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// read is the content of a regular file; never nil without an error.
func read(path string) ([]byte, fs.FileInfo, error) {
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > maxFile {
		return nil, nil, fmt.Errorf("%s is larger than %d MiB; it is left alone", path, maxFile>>20)
	}
	return data, info, nil
}

// changed is an error if the file is not what was read any more.
func (f file) changed() error {
	now, err := open(f.path, "")
	if err != nil {
		return err
	}
	if now.real != f.real || (now.data == nil) != (f.data == nil) || !bytes.Equal(now.data, f.data) {
		return fmt.Errorf("%s was changed by somebody else in this moment; try again", f.path)
	}
	return nil
}

// writable refuses what could be replaced, but was not meant to be.
func (f file) writable() error {
	if f.info != nil && f.info.Mode().Perm()&0o200 == 0 {
		return fmt.Errorf("%s is read-only; make it writable first, for instance with chmod u+w", f.real)
	}
	return nil
}

// draft writes data to a new file beside f, with the permissions, the access list
// and the owner of f, or with mode, and returns its name.
func (f file) draft(data []byte, mode fs.FileMode) (name string, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(f.real), "."+filepath.Base(f.real)+".*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, tmp.Close()); err != nil {
			os.Remove(tmp.Name())
		}
	}()
	if f.info != nil {
		mode = f.info.Mode().Perm()
		if err := keepOwner(tmp, f.info); err != nil {
			return "", fmt.Errorf("%s belongs to somebody else: %w", f.real, err)
		}
		if err := keepACL(tmp, f.real); err != nil {
			return "", err
		}
	}
	if _, err := tmp.Write(data); err != nil {
		return "", err
	}
	if err := tmp.Chmod(mode); err != nil {
		return "", err
	}
	return tmp.Name(), tmp.Sync()
}

// replace puts data in the file's place, whole or not at all. It fails if the
// file is not what was read any more. One that is a mount of its own, as in a
// container, has a place that cannot be taken: it is overwritten.
func (f file) replace(data []byte, mode fs.FileMode) error {
	tmp, err := f.draft(data, mode)
	if err != nil {
		return err
	}
	if err = f.changed(); err == nil {
		err = os.Rename(tmp, f.real)
	}
	if errors.Is(err, syscall.EBUSY) {
		if err = os.WriteFile(f.real, data, 0); err != nil {
			return fmt.Errorf("%s, a mount of its own, was not written whole, and should be what %s is: %w", f.real, tmp, err)
		}
	}
	os.Remove(tmp) // it may have become the file
	return err
}

// backup is where the file is kept as it was before our part was put into it.
func (f file) backup() string { return f.real + ".before-spool-agent" }

// keep makes the backup, whole or not at all, in place of an earlier one.
func (f file) keep() error {
	tmp, err := f.draft(f.data, 0)
	if err != nil {
		return fmt.Errorf("keeping a backup: %w", err)
	}
	return os.Rename(tmp, f.backup())
}

// removeEmpty removes a directory if nothing is in it, and then those above it
// that are left empty, but not top.
func removeEmpty(dir, top string) {
	for ; dir != top && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return
		}
	}
}
