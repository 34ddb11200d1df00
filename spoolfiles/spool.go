package spoolfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DirName is the name of a project's spool directory.
const DirName = ".spool"

// Spool is a project's open spool. Its directories were opened once, without
// following links, and belong to this user. Safe for concurrent use, but not
// beside Close or Complete.
type Spool struct {
	Project string // the project's directory, absolute
	Root    *Dir   // .spool

	Tmp, Incoming, Work, Control, Rejected *Dir
}

type subdir struct {
	name string
	dir  **Dir
}

func (s *Spool) subdirs() []subdir {
	return []subdir{{"tmp", &s.Tmp}, {"incoming", &s.Incoming}, {"work", &s.Work}, {"control", &s.Control}, {"rejected", &s.Rejected}}
}

// Find returns the project for a working directory, links resolved: the nearest
// directory from there upwards that has a .spool of this user, or is the top of
// a git work tree; else the working directory. The home directory and the root
// directory are a project only for what begins right there.
func Find(dir string) string {
	start, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return dir
	}
	home, _ := os.UserHomeDir()
	for up := start; ; up = filepath.Dir(up) {
		top := filepath.Dir(up) == up
		if up == start || !top && !SameDir(up, home) {
			if _, err := os.Lstat(filepath.Join(up, ".git")); err == nil || hasSpool(up) {
				return up
			}
		}
		if top {
			return start
		}
	}
}

// SameDir reports whether both paths lead to one directory.
func SameDir(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// hasSpool reports whether there is a .spool that is a directory, no link, and
// this user's.
func hasSpool(project string) bool {
	d, err := OpenDir(project)
	if err != nil {
		return false
	}
	defer d.Close()
	info, err := d.Lstat(DirName)
	return err == nil && info.Mode.IsDir() && info.Ours()
}

// Create is Open, but makes the spool where there is none. The project's
// directory itself must exist.
func Create(project string) (*Spool, error) { return complete(open(project, true)) }

// Open opens the spool of a project, making what is missing below .spool. The
// error wraps fs.ErrNotExist if the project or its .spool does not exist, and an
// *OwnerError if the spool is another user's.
func Open(project string) (*Spool, error) { return complete(open(project, false)) }

// OpenExisting is Open for a program that only reads: it changes nothing.
// Directories that are missing are nil, and list as empty ones; all else needs
// Complete.
func OpenExisting(project string) (*Spool, error) { return open(project, false) }

// complete takes the result of open.
func complete(s *Spool, err error) (*Spool, error) {
	if err != nil {
		return nil, err
	}
	if err := s.Complete(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open opens the spool, which it may create, with these of its directories; none
// named means all.
func open(project string, create bool, names ...string) (*Spool, error) {
	project, err := filepath.Abs(project)
	if err != nil {
		return nil, fmt.Errorf("finding project: %w", err)
	}
	p, err := OpenDir(project)
	if err != nil {
		return nil, fmt.Errorf("opening project: %w", err)
	}
	defer p.Close()
	if create {
		if err := p.Mkdir(DirName); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("making spool: %w", err)
		}
	}
	s := &Spool{Project: project}
	if s.Root, err = p.OpenDir(DirName); err != nil {
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	s.Root.top, s.Root.rel = s.Root.root, "" // p does not stay open
	if s.isSettings() {
		return nil, errors.Join(s.Root.fail("open", "", errors.New("has the settings of another program, and is no project's spool")), s.Close())
	}
	for _, sub := range s.subdirs() {
		if len(names) > 0 && !slices.Contains(names, sub.name) {
			continue
		}
		*sub.dir, err = s.Root.OpenDir(sub.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("opening spool: %w", err), s.Close())
		}
	}
	return s, nil
}

// Complete makes and opens the directories that OpenExisting has not found, and
// makes all of them private. Where one is missing, the spool is new, and gets its
// .gitignore, too: signals hold prompts, which must not come into a repository.
func (s *Spool) Complete() error {
	s.Root.tighten()
	for _, sub := range s.subdirs() {
		if *sub.dir == nil {
			_, err := s.Root.writeNew(".gitignore", strings.NewReader("*\n"), false)
			if err == nil || errors.Is(err, fs.ErrExist) {
				err = s.Root.Mkdir(sub.name)
			}
			if err == nil || errors.Is(err, fs.ErrExist) {
				*sub.dir, err = s.Root.OpenDir(sub.name)
			}
			if err != nil {
				return fmt.Errorf("making spool: %w", err)
			}
		}
		(*sub.dir).tighten()
	}
	return nil
}

// tighten takes from others what they may do with the directory. It fails where
// the file system has no modes, and this changes nothing.
func (d *Dir) tighten() {
	if info, err := d.Stat(); err == nil && info.loose() {
		_ = d.root.Chmod(".", info.Mode&0o700)
	}
}

// Whole reports whether none of the directories was missing.
func (s *Spool) Whole() bool {
	return !slices.ContainsFunc(s.subdirs(), func(sub subdir) bool { return *sub.dir == nil })
}

// Stale reports whether the spool's path no longer leads to what was opened:
// somebody deleted, replaced or moved the project, its .spool or a directory in
// it. A stale spool must be closed and opened again.
func (s *Spool) Stale() bool {
	p, err := OpenDir(s.Project)
	if err != nil {
		return true
	}
	defer p.Close()
	return !s.Root.isAt(p, DirName) || slices.ContainsFunc(s.subdirs(), func(sub subdir) bool {
		return *sub.dir == nil || !(*sub.dir).isAt(s.Root, sub.name)
	})
}

// isAt reports whether d is what the entry name of parent is.
func (d *Dir) isAt(parent *Dir, name string) bool {
	there, err := parent.Lstat(name)
	here, herr := d.Stat()
	return err == nil && herr == nil && here.is(there)
}

// Close releases the spool's directories.
func (s *Spool) Close() error {
	return errors.Join(s.Root.Close(), s.Tmp.Close(), s.Incoming.Close(), s.Work.Close(), s.Control.Close(), s.Rejected.Close())
}
