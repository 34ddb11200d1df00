package spoolfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// DirName is the name of a project's spool directory.
const DirName = ".spool"

// Spool is a project's open spool. Its directories were opened once, without
// following links, and belong to this user. Safe for concurrent use, but not
// beside Close or Complete.
type Spool struct {
	Project                          string // the project's directory, absolute
	Root                             *Dir   // .spool
	Tmp, Incoming, Control, Rejected *Dir
}

// Find returns the project for a working directory: the nearest directory from
// dir upwards that has a spool, else dir itself.
func Find(dir string) string {
	for d := dir; ; {
		if fi, err := os.Lstat(filepath.Join(d, DirName)); err == nil && fi.IsDir() {
			return d
		}
		up := filepath.Dir(d)
		if up == d {
			return dir
		}
		d = up
	}
}

// Open opens the spool of a project, making what is missing below .spool. The
// error wraps fs.ErrNotExist if the project or its .spool does not exist.
func Open(project string) (*Spool, error) {
	s, err := Look(project)
	if err != nil {
		return nil, err
	}
	if err := s.Complete(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Look is Open for one who only reads: it makes nothing. Directories that are
// missing are nil, and list as empty ones; all else needs Complete.
func Look(project string) (*Spool, error) {
	project, err := filepath.Abs(project)
	if err != nil {
		return nil, fmt.Errorf("finding project %s: %w", project, err)
	}
	p, err := OpenDir(project)
	if err != nil {
		return nil, fmt.Errorf("opening project: %w", err)
	}
	defer p.Close()
	s := &Spool{Project: project}
	if s.Root, err = openOurs(p, DirName); err != nil {
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	for _, sub := range s.subdirs() {
		*sub.dir, err = openOurs(s.Root, sub.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Close()
			return nil, fmt.Errorf("opening spool: %w", err)
		}
	}
	return s, nil
}

// Complete makes and opens the directories that Look has not found. If one was
// missing, the spool is new, and gets its .gitignore, too: signals hold prompts,
// which must not come into a repository.
func (s *Spool) Complete() error {
	ignored := false
	for _, sub := range s.subdirs() {
		if *sub.dir != nil {
			continue
		}
		if !ignored {
			// Whoever comes second finds it there, with the same content.
			if err := s.Root.writeNew(".gitignore", []byte("*\n"), false); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("making spool: %w", err)
			}
			ignored = true
		}
		err := s.Root.Mkdir(sub.name)
		if err == nil || errors.Is(err, fs.ErrExist) {
			*sub.dir, err = openOurs(s.Root, sub.name)
		}
		if err != nil {
			return fmt.Errorf("opening spool: %w", err)
		}
	}
	return nil
}

// Create is Open, but makes the spool where there is none. The project's
// directory itself must exist.
func Create(project string) (*Spool, error) {
	s, err := Open(project)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	project, err = filepath.Abs(project)
	if err != nil {
		return nil, fmt.Errorf("finding project %s: %w", project, err)
	}
	p, err := OpenDir(project)
	if err != nil {
		return nil, fmt.Errorf("opening project: %w", err)
	}
	defer p.Close()
	if err := p.Mkdir(DirName); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making spool: %w", err)
	}
	return Open(project)
}

type subdir struct {
	name string
	dir  **Dir
}

func (s *Spool) subdirs() []subdir {
	return []subdir{{"tmp", &s.Tmp}, {"incoming", &s.Incoming}, {"control", &s.Control}, {"rejected", &s.Rejected}}
}

// Dir returns the spool's directory of that name, or nil.
func (s *Spool) Dir(name string) *Dir {
	for _, sub := range s.subdirs() {
		if sub.name == name {
			return *sub.dir
		}
	}
	return nil
}

// openOurs opens a directory and makes sure that it is this user's: in
// somebody else's directory anybody's files could be swapped at any moment.
func openOurs(parent *Dir, name string) (*Dir, error) {
	d, err := parent.OpenDir(name)
	if err != nil {
		// O_DIRECTORY reports a link, too, as "not a directory", and what one
		// may not open is most often another user's.
		info, lerr := parent.Lstat(name)
		switch {
		case lerr != nil:
		case info.Mode&fs.ModeSymlink != 0:
			return nil, parent.fail("open", name, errLinkedDir)
		case !info.Ours():
			return nil, parent.fail("open", name, &OwnerError{info.UID})
		}
		return nil, err
	}
	info, err := d.Stat()
	if err == nil && !ours(info.UID) {
		err = &fs.PathError{Op: "open", Path: d.path, Err: &OwnerError{info.UID}}
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

var errLinkedDir = errors.New("is a symbolic link, which is not followed; remove it, or make it a directory")

// OwnerError says that a file or directory belongs to another user.
type OwnerError struct{ UID uint32 }

func (e *OwnerError) Error() string {
	return fmt.Sprintf("belongs to user %d, not to this user (%d)", e.UID, os.Geteuid())
}

// Stale reports whether the spool's path no longer leads to what was opened:
// someone deleted, replaced or moved the project, its .spool or a directory in
// it. A stale spool must be closed and opened again.
func (s *Spool) Stale() bool {
	p, err := OpenDir(s.Project)
	if err != nil {
		return true
	}
	defer p.Close()
	if !same(p, DirName, s.Root) {
		return true
	}
	for _, sub := range s.subdirs() {
		if *sub.dir == nil || !same(s.Root, sub.name, *sub.dir) {
			return true
		}
	}
	return false
}

// Close releases the spool's directories.
func (s *Spool) Close() error {
	var errs []error
	for _, sub := range s.subdirs() {
		if *sub.dir != nil {
			errs = append(errs, (*sub.dir).Close())
		}
	}
	return errors.Join(append(errs, s.Root.Close())...)
}
