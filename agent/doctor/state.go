package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// checkState looks at the state directory: its permissions, and the registry.
func (d *diagnosis) checkState() {
	root := d.facts.StateDir
	if _, err := os.Lstat(root); errors.Is(err, fs.ErrNotExist) {
		d.add("state.permissions", OK, "", "there is no %s yet", root)
		d.checkRegistry()
		return
	}
	wrong := false
	for _, path := range []string{root, d.facts.Registry.Dir, filepath.Join(root, "agents")} {
		if d.checkStateDir(path) {
			wrong = true
		}
	}
	if !wrong {
		d.add("state.permissions", OK, "", "%s", root)
	}
	d.checkRegistry()
}

// checkStateDir reports whether something is wrong with one directory.
func (d *diagnosis) checkStateDir(path string) bool {
	const name = "state.permissions"
	at, err := spoolfiles.OpenDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		d.add(name, Failure, "chmod 700 "+quote.Shell(path), "%v", err)
		return true
	}
	defer at.Close()
	info, err := at.Stat()
	switch {
	case err != nil:
		d.add(name, Failure, "ls -ld "+quote.Shell(path), "%v", err)
	case !info.Ours():
		d.add(name, Failure, chown(quote.Shell(path)), "%s %v", path, &spoolfiles.OwnerError{UID: info.UID})
	case !hasModes:
		return false
	case info.Mode&0o700 != 0o700:
		d.add(name, Failure, "chmod 700 "+quote.Shell(path), "%s is not open to its owner (%v)", path, info.Mode.Perm())
	case info.Mode&0o022 != 0:
		d.add(name, Failure, "chmod 700 "+quote.Shell(path), "%s can be changed by others (%v)", path, info.Mode.Perm())
	case info.Mode&0o077 != 0:
		d.add(name, Warning, "chmod 700 "+quote.Shell(path), "%s can be read by others (%v)", path, info.Mode.Perm())
	default:
		return false
	}
	return true
}

// registrationAge is how long a producer may take to rename its registration.
const registrationAge = time.Minute

func (d *diagnosis) checkRegistry() {
	all, err := d.facts.Registry.List()
	if err != nil {
		d.add("registry.files", Failure, "ls -la "+quote.Shell(d.facts.Registry.Dir), "%v", err)
		return
	}
	registry := d.facts.Registry.Dir
	var strays, unfinished []string
	projects := 0
	for _, r := range all {
		if r.Err != nil {
			strays = append(strays, quote.Shell(r.Files[0]))
			continue
		}
		projects++
	}
	entries, _ := os.ReadDir(registry) // Registered has just read it
	for _, e := range entries {
		info, err := e.Info()
		if strings.HasPrefix(e.Name(), ".") && err == nil && time.Since(info.ModTime()) > registrationAge {
			unfinished = append(unfinished, quote.Shell(filepath.Join(registry, e.Name())))
		}
	}
	if len(strays) > 0 {
		d.add("registry.files", Warning, "rm "+firstFew(strays), "%s that %s no project: %s", count(len(strays), "file"), plural(len(strays), "names", "name"), some(strays))
	}
	if len(unfinished) > 0 {
		d.add("registry.files", Warning, "rm "+firstFew(unfinished), "%s that somebody has begun and left: %s", count(len(unfinished), "registration"), some(unfinished))
	}
	if len(strays)+len(unfinished) == 0 {
		d.add("registry.files", OK, "", "%s registered", count(projects, "project is", "projects are"))
	}
}

func firstFew(words []string) string { return strings.Join(words[:min(len(words), manyAlike)], " ") }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
