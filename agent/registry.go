package agent

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// registryName is the registry's name in a directory for state.
const registryName = "projects"

// registeredMark is in the spool of each project that was registered: a link to
// the file in the registry that says so. Where there are no links, it is a file
// that says so itself. An empty file means that the project is not to be
// registered but by its user.
const registeredMark = ".registered"

const maxRegistration = 64 << 10 // bytes; more than any system allows a path to have

// Registry is a directory of files that each name one project: the first line
// is the project's absolute path. A file's own name means nothing, and does not
// begin with a dot. Anybody registers a project by writing such a file under a
// name that begins with a dot, and renaming it. Two files with the same path are
// as good as one. The methods are safe for concurrent use, also by several
// processes.
type Registry struct {
	Dir string // absolute
	Old string // "" or where the registry was before: what is found there is moved to Dir
}

// Registration is what the registry says of one project.
type Registration struct {
	Path  string   // of the project; "" if Err is set
	Files []string // that say so
	Err   error    // what is wrong with the file that ought to name a project
}

// dirs are the directories in which there may be registrations.
func (r Registry) dirs() []string {
	if r.Old == "" || r.Old == r.Dir {
		return []string{r.Dir}
	}
	return []string{r.Old, r.Dir}
}

// Projects returns what is registered, by path, and then what is wrong. No
// registry means that nothing is registered.
func (r Registry) Projects() ([]Registration, error) {
	var good, bad []Registration
	byPath := map[string]int{}
	for _, at := range r.dirs() {
		err := eachRegistration(at, func(name, project string, err error) {
			file := filepath.Join(at, name)
			if err != nil {
				bad = append(bad, Registration{Files: []string{file}, Err: err})
				return
			}
			if at != r.Dir && os.Rename(file, filepath.Join(r.Dir, name)) == nil {
				return // it comes again
			}
			i, known := byPath[project]
			if !known {
				i = len(good)
				byPath[project] = i
				good = append(good, Registration{Path: project})
			}
			good[i].Files = append(good[i].Files, file)
		})
		if err != nil {
			return nil, fmt.Errorf("reading the registry of projects: %w", err)
		}
	}
	slices.SortFunc(good, func(a, b Registration) int { return cmp.Compare(a.Path, b.Path) })
	return append(good, bad...), nil
}

// eachRegistration calls fn for each file of a registry. A directory that does
// not exist has none.
func eachRegistration(path string, fn func(name, project string, err error)) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := spoolfiles.OpenDir(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		project, err := readRegistration(dir, e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed just now
		}
		if outOfFiles(err) {
			return err
		}
		fn(e.Name(), project, err)
	}
	return nil
}

// readRegistration returns the path that a file names.
func readRegistration(dir *spoolfiles.Dir, name string) (project string, err error) {
	data, info, err := dir.ReadFile(name, maxRegistration)
	switch {
	case err != nil:
		return "", err
	case data == nil:
		err = errors.New("is not a small regular file")
	case !info.Ours():
		err = &spoolfiles.OwnerError{UID: info.UID}
	default:
		project = string(bytes.TrimSuffix(data, []byte("\n")))
		err = checkProject(project)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Join(dir.Path(), name), err)
	}
	return filepath.Clean(project), nil
}

// Add registers a project, so that the agent of this user serves it from now
// on. It reports whether that is news. The path is absolute, and need not exist.
// Once it returns, a power cut does not undo it.
func (r Registry) Add(project string) (added bool, err error) {
	_, added, err = r.add(project)
	return added, err
}

// add is Add, and returns besides the file that names the project.
func (r Registry) add(project string) (file string, added bool, err error) {
	if err := checkProject(project); err != nil {
		return "", false, err
	}
	project = filepath.Clean(project)
	all, err := r.Projects()
	if err != nil {
		return "", false, err
	}
	for _, known := range all {
		if known.Path == project {
			return known.Files[0], false, nil
		}
	}
	// A name that depends on the path alone: a process that comes at the same
	// moment replaces the file by its like.
	sum := sha256.Sum256([]byte(project))
	name := hex.EncodeToString(sum[:16])
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
	tmp := "." + spoolfiles.NewID()
	f, err := dir.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = dir.Rename(tmp, dir, name)
	}
	if err != nil {
		dir.Remove(tmp)
		return err
	}
	return dir.Sync()
}

// AddSpool is Add for the project of a spool, and marks the spool, so that
// producers need not register it.
func (r Registry) AddSpool(sp *spoolfiles.Spool) (added bool, err error) {
	file, added, err := r.add(sp.Project)
	if err != nil {
		return false, err
	}
	return added, mark(sp, file)
}

// AddOnce is AddSpool for producers: it does nothing if the spool is marked in
// this place, whatever became of the registration since.
func (r Registry) AddOnce(sp *spoolfiles.Spool) error {
	if r.marked(sp) {
		return nil
	}
	project, err := filepath.EvalSymlinks(sp.Project) // so that it has one name
	if err != nil {
		return err
	}
	file, _, err := r.add(project)
	if err != nil {
		return err
	}
	return mark(sp, file)
}

// marked reports whether the spool's mark says that its project, in this place,
// is registered or is not to be. A registration that a power cut has emptied
// does not count, nor does one of the place where the project was before.
func (r Registry) marked(sp *spoolfiles.Spool) bool {
	info, err := sp.Root.Lstat(registeredMark)
	if err != nil {
		return false
	}
	if info.Mode.IsRegular() {
		if info.Size == 0 {
			return true
		}
		project, err := readRegistration(sp.Root, registeredMark)
		return err == nil && sameDir(project, sp.Project)
	}
	// Nothing outside the registry is read, for anybody may have made the link.
	link := filepath.Join(sp.Root.Path(), registeredMark)
	file, err := os.Readlink(link)
	if err != nil {
		return false
	}
	if filepath.Dir(file) != r.Dir {
		// Hooks of earlier versions link to the spool's own tmp.
		return sameDir(link, filepath.Join(sp.Root.Path(), "tmp"))
	}
	dir, err := spoolfiles.OpenDir(r.Dir)
	if err != nil {
		return false
	}
	defer dir.Close()
	project, err := readRegistration(dir, filepath.Base(file))
	return err == nil && sameDir(project, sp.Project)
}

// mark replaces the spool's mark: by a link to the registration, or if file is
// empty by an empty file.
func mark(sp *spoolfiles.Spool, file string) error {
	err := sp.Root.Remove(registeredMark)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && file != "" && sp.Root.Symlink(file, registeredMark) == nil {
		return nil
	}
	if err == nil {
		err = writeMark(sp, file != "")
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("marking %s: %w", quote.Text(sp.Project), err)
	}
	return nil
}

func writeMark(sp *spoolfiles.Spool, registered bool) error {
	f, err := sp.Root.Create(registeredMark)
	if err != nil {
		return err
	}
	if registered {
		_, err = f.WriteString(sp.Project + "\n")
	}
	return errors.Join(err, f.Close())
}

// Remove undoes Add: also for a path that leads to the same directory. It
// returns the paths by which the project was registered. No producer registers
// it anew.
func (r Registry) Remove(project string) (removed []string, err error) {
	project = filepath.Clean(project)
	all, err := r.Projects()
	if err != nil {
		return nil, err
	}
	for _, known := range all {
		if known.Err != nil || known.Path != project && !sameDir(known.Path, project) {
			continue
		}
		for _, file := range known.Files {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return removed, fmt.Errorf("removing %s from the registry: %w", quote.Text(project), err)
			}
		}
		removed = append(removed, known.Path)
	}
	sp, err := spoolfiles.Open(project)
	if errors.Is(err, fs.ErrNotExist) {
		return removed, nil
	}
	if err != nil {
		return removed, err
	}
	return removed, errors.Join(mark(sp, ""), sp.Close())
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
