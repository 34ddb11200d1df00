// Package registry keeps the list of the projects that the agent of this user
// serves.
//
// It is a directory of files that each name one project: its absolute path, and
// at most one line feed. A file's own name means nothing, and does not begin
// with a dot. Any program registers a project by writing such a file under a
// name that begins with a dot, and renaming it. Two files with the same path are
// as good as one.
//
// # Marks
//
// Producers register a project once, and leave .registered in its spool: a link
// to the file in the registry or, where there are no links, a file with the same
// content. It counts for as long as that is a regular file that names the
// project where it is now, so a registration that a power cut has emptied, or
// that is of another place, is made anew by the next drop. An empty .registered
// says that the project is to be registered by its user only.
package registry

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// DirName is the registry's name in a directory for state.
const DirName = "projects"

const markName = ".registered"

const maxFile = 64 << 10 // bytes; more than any system allows a path to have

// Registry is where projects are registered. Its methods are safe for concurrent
// use, also by several processes.
type Registry struct {
	Dir string // absolute
	Old string // "" or where the registry was before: what is found there is moved to Dir
}

// Entry is what the registry says of one project.
type Entry struct {
	Path  string   // of the project; "" if Err is set
	Files []string // that say so
	Err   error    // what is wrong with the file that ought to name a project
}

// Dirs are the directories in which there may be entries.
func (r Registry) Dirs() []string {
	if r.Old == "" || r.Old == r.Dir {
		return []string{r.Dir}
	}
	return []string{r.Old, r.Dir}
}

// List returns what is registered, by path, and then what is wrong. No registry
// means that nothing is registered.
func (r Registry) List() ([]Entry, error) {
	var good, bad []Entry
	byPath := map[string]int{}
	for _, at := range r.Dirs() {
		names, err := os.ReadDir(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var dir *spoolfiles.Dir
		if err == nil {
			dir, err = spoolfiles.OpenDir(at)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the registry: %w", err)
		}
		defer dir.Close()
		for _, e := range names {
			if strings.HasPrefix(e.Name(), ".") {
				continue
			}
			file := filepath.Join(at, e.Name())
			project, err := read(dir, e.Name())
			i, known := byPath[project]
			switch {
			case errors.Is(err, fs.ErrNotExist): // removed just now
			case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
				return nil, fmt.Errorf("reading the registry: %w", err)
			case err != nil:
				bad = append(bad, Entry{Files: []string{file}, Err: err})
			case at != r.Dir && os.Rename(file, filepath.Join(r.Dir, e.Name())) == nil: // it comes again
			case known:
				good[i].Files = append(good[i].Files, file)
			default:
				byPath[project] = len(good)
				good = append(good, Entry{Path: project, Files: []string{file}})
			}
		}
	}
	slices.SortFunc(good, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return append(good, bad...), nil
}

// read returns the path that a file names.
func read(dir *spoolfiles.Dir, name string) (project string, err error) {
	data, _, err := dir.ReadFile(name, maxFile)
	if err != nil {
		return "", err
	}
	project = string(bytes.TrimSuffix(data, []byte("\n")))
	if err := check(project); err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Join(dir.Path(), name), err)
	}
	return filepath.Clean(project), nil
}

// check refuses a path that cannot be a project's.
func check(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("project %s: not an absolute path", quote.Text(path))
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("project %s: no path has a zero byte", quote.Text(path))
	}
	return nil
}

// Add registers a project, so that the agent of this user serves it from now
// on. It returns the file that names the project, and whether that is news. The
// path is absolute, and need not exist. Once Add returns, a power cut does not
// undo it.
func (r Registry) Add(project string) (file string, added bool, err error) {
	project = filepath.Clean(project)
	all, err := r.List()
	if err == nil {
		err = check(project)
	}
	if err != nil {
		return "", false, err
	}
	for _, e := range all {
		if e.Path == project {
			return e.Files[0], false, nil
		}
	}
	// A name that depends on the path alone: a process that comes at the same
	// moment replaces the file by its like.
	sum := fnv.New128a()
	sum.Write([]byte(project))
	name := fmt.Sprintf("%x", sum.Sum(nil))
	if err := r.write(name, project+"\n"); err != nil {
		return "", false, fmt.Errorf("registering %s: %w", quote.Text(project), err)
	}
	return filepath.Join(r.Dir, name), true, nil
}

// write writes a file that readers of the registry see whole or not at all.
func (r Registry) write(name, text string) error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	parent, err := spoolfiles.OpenDir(filepath.Dir(r.Dir))
	if err != nil {
		return err
	}
	defer parent.Close()
	dir, err := parent.OpenDir(filepath.Base(r.Dir))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.WriteFile(name, []byte(text), parent, true); err != nil {
		return err
	}
	return dir.Sync()
}

// AddSpool registers the project of a spool, and marks the spool. With once, as
// producers want it, it does so by the path without links, and does nothing if
// the spool's mark counts.
func (r Registry) AddSpool(sp *spoolfiles.Spool, once bool) (added bool, err error) {
	project := sp.Project
	if once {
		if r.marked(sp) {
			return false, nil
		}
		if project, err = filepath.EvalSymlinks(project); err != nil {
			return false, err
		}
	}
	file, added, err := r.Add(project)
	if err != nil {
		return false, err
	}
	_ = sp.Root.Remove(markName)
	err = sp.Root.Symlink(file, markName)
	if errors.Is(err, fs.ErrExist) {
		return added, nil // by another producer, at the same moment
	}
	if err != nil {
		err = sp.Root.WriteFile(markName, []byte(project+"\n"), sp.Tmp, false)
	}
	return added, err
}

// marked reports whether the spool's mark counts.
func (r Registry) marked(sp *spoolfiles.Spool) bool {
	info, err := sp.Root.Lstat(markName)
	if err != nil || info.Mode.IsRegular() && info.Size == 0 {
		return err == nil
	}
	dir, name := sp.Root, markName
	if !info.Mode.IsRegular() {
		// Nothing outside the registry is read, for anybody may have made the link.
		link := filepath.Join(sp.Root.Path(), markName)
		file, err := os.Readlink(link)
		if err != nil || filepath.Dir(file) != r.Dir {
			// Hooks of earlier versions link to the spool's own tmp.
			return sameDir(link, filepath.Join(sp.Root.Path(), "tmp"))
		}
		if dir, err = spoolfiles.OpenDir(r.Dir); err != nil {
			return false
		}
		defer dir.Close()
		name = filepath.Base(file)
	}
	project, err := read(dir, name)
	return err == nil && sameDir(project, sp.Project)
}

// Remove undoes Add: also for a path that leads to the same directory. It
// returns the paths by which the project was registered. No producer registers
// it anew.
func (r Registry) Remove(project string) (removed []string, err error) {
	project = filepath.Clean(project)
	all, err := r.List()
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if e.Err != nil || e.Path != project && !sameDir(e.Path, project) {
			continue
		}
		for _, file := range e.Files {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return removed, fmt.Errorf("removing %s from the registry: %w", quote.Text(project), err)
			}
		}
		removed = append(removed, e.Path)
	}
	sp, err := spoolfiles.Open(project)
	if errors.Is(err, fs.ErrNotExist) {
		return removed, nil
	}
	if err != nil {
		return removed, err
	}
	defer sp.Close()
	return removed, sp.Root.WriteFile(markName, nil, sp.Tmp, false)
}

// sameDir reports whether both paths lead to one directory.
func sameDir(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
