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

// The registry is the directory "projects" in the state directory. Each file in
// it names one project: its content is the project's absolute path, and at most
// one line feed. Its own name means nothing, and does not begin with a dot.
// Anybody registers a project by writing such a file under a name that begins
// with a dot, and renaming it. Two files with the same path are as good as one.
//
// Producers register the project of their first drop, and leave .registered in
// its spool, a symbolic link to the spool's tmp by its absolute path. So they do
// it once, whoever made the spool, and not again when somebody has had the project
// removed; but again when the project was moved or copied, for then the link
// leads elsewhere. Where there are no links, it is a file.

const registeredMark = ".registered"

const maxRegistration = 64 << 10 // bytes; more than any system allows a path to have

func registryDir(stateDir string) string { return filepath.Join(stateDir, "projects") }

// Registration is what the registry says of one project.
type Registration struct {
	Path  string   // of the project; "" if Err is set
	Files []string // that say so
	Err   error    // what is wrong with the file that ought to name a project
}

// Registered returns what is registered, by path, and then what is wrong. No
// registry means that nothing is.
func Registered(stateDir string) ([]Registration, error) {
	path := registryDir(stateDir)
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the registry of projects: %w", err)
	}
	dir, err := spoolfiles.OpenDir(path)
	if err != nil {
		return nil, fmt.Errorf("reading the registry of projects: %w", err)
	}
	defer dir.Close()
	var good, bad []Registration
	byPath := map[string]int{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		file := filepath.Join(path, e.Name())
		project, err := readRegistration(dir, e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed just now
		}
		if err != nil {
			bad = append(bad, Registration{Files: []string{file}, Err: err})
			continue
		}
		i, ok := byPath[project]
		if !ok {
			i = len(good)
			byPath[project] = i
			good = append(good, Registration{Path: project})
		}
		good[i].Files = append(good[i].Files, file)
	}
	slices.SortFunc(good, func(a, b Registration) int { return cmp.Compare(a.Path, b.Path) })
	return append(good, bad...), nil
}

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

// Register has a project served by the agent of this user, from now on. It
// reports whether that is news. The path is absolute, and need not exist.
func Register(stateDir, project string) (added bool, err error) {
	if err := checkProject(project); err != nil {
		return false, err
	}
	project = filepath.Clean(project)
	all, err := Registered(stateDir)
	if err != nil {
		return false, err
	}
	for _, r := range all {
		if r.Path == project {
			return false, nil
		}
	}
	dir := registryDir(stateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("registering %s: %w", quote.Text(project), err)
	}
	// A name that depends on the path alone: who comes at the same moment
	// replaces the file by its like.
	sum := sha256.Sum256([]byte(project))
	if err := writeAside(filepath.Join(dir, hex.EncodeToString(sum[:16])), project+"\n"); err != nil {
		return false, fmt.Errorf("registering %s: %w", quote.Text(project), err)
	}
	return true, nil
}

// RegisterFirst registers the project of a spool, unless that has been done
// before, whatever became of it.
func RegisterFirst(stateDir string, sp *spoolfiles.Spool) error {
	if isRegistered(sp) {
		return nil
	}
	if _, err := Register(stateDir, sp.Project); err != nil {
		return err
	}
	return MarkRegistered(sp)
}

// isRegistered reports whether the spool was marked in this place.
func isRegistered(sp *spoolfiles.Spool) bool {
	info, err := sp.Root.Lstat(registeredMark)
	if err != nil || info.Mode&fs.ModeSymlink == 0 {
		return err == nil && info.Mode.IsRegular()
	}
	root := filepath.Join(sp.Project, spoolfiles.DirName)
	return sameDir(filepath.Join(root, registeredMark), filepath.Join(root, "tmp"))
}

// MarkRegistered keeps producers from registering the project.
func MarkRegistered(sp *spoolfiles.Spool) error {
	if isRegistered(sp) {
		return nil
	}
	err := sp.Root.Remove(registeredMark)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = makeMark(sp)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("marking %s as registered: %w", quote.Text(sp.Project), err)
	}
	return nil
}

func makeMark(sp *spoolfiles.Spool) error {
	project, err := filepath.EvalSymlinks(sp.Project)
	if err != nil {
		return err
	}
	if sp.Root.Symlink(filepath.Join(project, spoolfiles.DirName, "tmp"), registeredMark) == nil {
		return nil
	}
	f, err := sp.Root.Create(registeredMark)
	if err != nil {
		return err
	}
	return f.Close()
}

// writeAside writes a file that readers of its directory see whole or not at all.
func writeAside(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync() // what a user has asked for outlives a power cut
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Unregister undoes Register: also for a path that leads to the same directory.
// It returns the paths by which the project was registered. No producer registers
// it anew in this place.
func Unregister(stateDir, project string) (removed []string, err error) {
	project = filepath.Clean(project)
	all, err := Registered(stateDir)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Err != nil || r.Path != project && !sameDir(r.Path, project) {
			continue
		}
		for _, file := range r.Files {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return removed, fmt.Errorf("removing %s from the registry: %w", quote.Text(project), err)
			}
		}
		removed = append(removed, r.Path)
	}
	sp, err := spoolfiles.Open(project)
	if errors.Is(err, fs.ErrNotExist) {
		return removed, nil
	}
	if err != nil {
		return removed, err
	}
	return removed, errors.Join(MarkRegistered(sp), sp.Close())
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
