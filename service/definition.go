package service

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxDefinition is how much of a definition is read. Ours are a tenth of it.
const maxDefinition = 64 << 10

// readDefinition reads a definition. It opens nothing but a regular file.
func readDefinition(file string) ([]byte, error) {
	fi, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxDefinition))
}

// replaceDefinition sees to it that file has this content. It replaces what
// was there at once and whole, or not at all.
func replaceDefinition(file string, content []byte) (changed bool, err error) {
	fi, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, fmt.Errorf("looking at the service's definition: %w", err)
	case !fi.Mode().IsRegular():
		return false, notOurs(file)
	default:
		old, err := readDefinition(file)
		if err != nil {
			return false, fmt.Errorf("reading the service's definition: %w", err)
		}
		if bytes.Equal(old, content) {
			return false, nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return false, fmt.Errorf("making a place for the service's definition: %w", err)
	}
	sweep(file)
	if err := writeAside(file, content); err != nil {
		return false, fmt.Errorf("writing the service's definition: %w", err)
	}
	return true, nil
}

// removeDefinition removes what replaceDefinition has made, if it is there.
func removeDefinition(file string) (removed bool, err error) {
	sweep(file)
	fi, err := os.Lstat(file)
	if err == nil && !fi.Mode().IsRegular() {
		return false, notOurs(file)
	}
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("removing the service's definition: %w", err)
	}
	return err == nil, nil
}

// notOurs is about a link, say, made by somebody who keeps such files
// elsewhere, or by 'systemctl mask': not ours to break.
func notOurs(file string) error {
	return fmt.Errorf("%s is no regular file, and was not made by 'agent install'; remove it, and try again", file)
}

// aside is what the names of files beside a definition begin with, before they
// take its place. No manager reads a file with such a name.
func aside(file string) string { return "." + filepath.Base(file) + ".new-" }

func writeAside(file string, content []byte) (err error) {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, aside(file)+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644) // systemd complains of less
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// sweep removes what installers left beside a definition that were killed. It
// may fail: that harms nothing but tidiness.
func sweep(file string) {
	dir := filepath.Dir(file)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), aside(file)) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
