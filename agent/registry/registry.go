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
	Path string // of the project; "" if Err is set
	File string // that says so
	Err  error  // what is wrong with the file that ought to name a project
}

// Dirs are the directories in which there may be entries.
func (r Registry) Dirs() []string {
	if r.Old == "" || r.Old == r.Dir {
		return []string{r.Dir}
	}
	return []string{r.Old, r.Dir}
}

// List returns what is wrong in the registry, and then what is registered, by
// path. No registry means that nothing is registered.
func (r Registry) List() ([]Entry, error) {
	all, err := r.files()
	return slices.CompactFunc(all, func(a, b Entry) bool { return a.Err == nil && a.Path == b.Path }), err
}

// files returns an entry for each file, sorted by path.
func (r Registry) files() (all []Entry, err error) {
	for _, at := range r.Dirs() {
		var names []string
		dir, err := spoolfiles.OpenDir(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			defer dir.Close()
			names, err = dir.List()
		}
		if err != nil {
			return nil, fmt.Errorf("reading the registry: %w", err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, ".") {
				continue
			}
			e := Entry{File: filepath.Join(at, name)}
			e.Path, e.Err = read(dir, name)
			switch {
			case errors.Is(e.Err, fs.ErrNotExist): // removed just now
			case errors.Is(e.Err, syscall.EMFILE), errors.Is(e.Err, syscall.ENFILE):
				return nil, fmt.Errorf("reading the registry: %w", e.Err)
			case e.Err == nil && at != r.Dir && os.Rename(e.File, filepath.Join(r.Dir, name)) == nil: // it comes again
			default:
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.File, b.File)) })
	return all, nil
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
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return fmt.Errorf("project %s: not an absolute path", quote.Text(path))
	}
	return nil
}

// Add registers a project, so that the agent of this user serves it from now
// on. It returns the file that names the project, and whether that is news. The
// path is absolute, and need not exist. Once Add returns, a power cut does not
// undo it.
func (r Registry) Add(project string) (file string, added bool, err error) {
	project = filepath.Clean(project)
	if err := check(project); err != nil {
		return "", false, err
	}
	all, err := r.List()
	if err != nil {
		return "", false, err
	}
	for _, e := range all {
		if e.Path == project {
			return e.File, false, nil
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
	dir, err := spoolfiles.OpenDir(r.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = dir.WriteFile(name, []byte(text), dir, true)
	return errors.Join(err, dir.Sync())
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
	if file, err := os.Readlink(filepath.Join(sp.Root.Path(), markName)); err == nil {
		// Nothing outside the registry is read, for anybody may have made the link.
		if filepath.Dir(file) != r.Dir {
			return false
		}
		if dir, err = spoolfiles.OpenDir(r.Dir); err != nil {
			return false
		}
		defer dir.Close()
		name = filepath.Base(file)
	}
	project, err := read(dir, name)
	return err == nil && spoolfiles.SameDir(project, sp.Project)
}

// Remove undoes Add: also for a path that leads to the same directory. It
// returns the paths by which the project was registered. No producer registers
// it anew.
func (r Registry) Remove(project string) (removed []string, err error) {
	project = filepath.Clean(project)
	all, err := r.files()
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if e.Err != nil || e.Path != project && !spoolfiles.SameDir(e.Path, project) {
			continue
		}
		if err := os.Remove(e.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("removing %s from the registry: %w", quote.Text(project), err)
		}
		removed = append(removed, e.Path)
	}
	removed = slices.Compact(removed)
	sp, err := spoolfiles.Open(project)
	if err == nil {
		defer sp.Close()
		err = sp.Root.WriteFile(markName, nil, sp.Tmp, false)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // there is no spool, or somebody is just deleting it
	}
	return removed, err
}
