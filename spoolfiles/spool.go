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

// Spool is a project's open spool. It was opened once, without following links,
// and belongs to this user, as its directories did then. Safe for concurrent use,
// but not beside Close.
type Spool struct {
	Project string // the project's directory, absolute
	Root    *Dir   // .spool

	Tmp, Incoming, Work, Control, Rejected *Dir
}

func (s *Spool) subdirs() []*Dir {
	return []*Dir{s.Tmp, s.Incoming, s.Work, s.Control, s.Rejected}
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
	y, yerr := os.Stat(b)
	return err == nil && yerr == nil && os.SameFile(x, y)
}

// hasSpool reports whether there is a .spool that is a directory, no link, and
// this user's.
func hasSpool(project string) bool {
	d, err := OpenDir(project)
	if err != nil {
		return false
	}
	defer d.Close()
	_, err = d.Sub(DirName).Stat()
	return err == nil
}

// Create is Open, but makes the spool where there is none. The project's
// directory itself must exist.
func Create(project string) (*Spool, error) { return open(project, true, (*Spool).Complete) }

// Open opens the spool of a project, making what is missing below .spool. The
// error wraps fs.ErrNotExist if the project or its .spool does not exist, and an
// *OwnerError if the spool is another user's.
func Open(project string) (*Spool, error) { return open(project, false, (*Spool).Complete) }

// OpenExisting is Open for a program that only reads: it changes nothing.
// Directories that are missing list as empty ones; all else needs Complete.
func OpenExisting(project string) (*Spool, error) { return open(project, false, (*Spool).check) }

// open opens the spool, which it may create, and prepares it.
func open(project string, create bool, prepare func(*Spool) error) (*Spool, error) {
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
	root, err := p.openSub(DirName)
	if err != nil {
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	s := &Spool{
		Project: project, Root: root,
		Tmp: root.Sub("tmp"), Incoming: root.Sub("incoming"), Work: root.Sub("work"),
		Control: root.Sub("control"), Rejected: root.Sub("rejected"),
	}
	if s.isSettings() {
		err = s.Root.fail("open", "", errors.New("has the settings of another program, and is no project's spool"))
	} else {
		err = prepare(s)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening spool: %w", err), s.Close())
	}
	return s, nil
}

// check returns an error if a directory is there, but unfit.
func (s *Spool) check() error {
	for _, d := range s.subdirs() {
		if _, err := d.Stat(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Complete makes the directories that are missing, and makes all of them
// private. Where one is missing, the spool is new, and gets its .gitignore, too:
// signals hold prompts, which must not come into a repository.
func (s *Spool) Complete() error {
	info, err := s.Root.Stat()
	if err != nil {
		return err
	}
	s.Root.tighten(info)
	for _, d := range s.subdirs() {
		info, err := d.Stat()
		if errors.Is(err, fs.ErrNotExist) {
			_, err = s.Root.writeNew(".gitignore", strings.NewReader("*\n"), false)
			if err == nil || errors.Is(err, fs.ErrExist) {
				err = s.Root.Mkdir(d.rel)
			}
			if err == nil || errors.Is(err, fs.ErrExist) {
				info, err = d.Stat()
			}
		}
		if err != nil {
			return err
		}
		d.tighten(info)
	}
	return nil
}

// Stale reports whether the spool's path no longer leads to what was opened, or
// one of its directories is missing: somebody deleted, replaced or moved the
// project, its .spool or a directory in it. A stale spool must be closed and
// opened again.
func (s *Spool) Stale() bool {
	opened, err := s.Root.root.Lstat(".")
	there, terr := os.Lstat(s.Root.path)
	missing := func(d *Dir) bool {
		_, err := d.Stat()
		return err != nil
	}
	return err != nil || terr != nil || !os.SameFile(opened, there) || slices.ContainsFunc(s.subdirs(), missing)
}

// Close releases the spool's directories.
func (s *Spool) Close() error { return s.Root.Close() }
