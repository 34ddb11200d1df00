package service

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// exists reports whether a file of ours is there. A link, say, was made by
// somebody who keeps such files elsewhere, or by 'systemctl mask', and is not
// ours to break.
func exists(file string) (bool, error) {
	fi, err := os.Lstat(file)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file, and was not made by 'agent install'; remove it, and try again", file)
	}
	return err == nil, err
}

// aside is where a file is written before it takes its place. No manager reads
// one with such a name.
func aside(file string) string {
	return filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".new")
}

// replace sees to it that file has this content. It replaces what was there at
// once and whole, or not at all, and returns what it wrote.
func replace(file string, content []byte, mode os.FileMode) (wrote string, err error) {
	if _, err := exists(file); err != nil {
		return "", err
	}
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, content) {
		return "", nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	err = os.WriteFile(aside(file), content, mode)
	if err == nil {
		err = os.Rename(aside(file), file)
	}
	if err != nil {
		os.Remove(aside(file))
		return "", err
	}
	return file, nil
}
