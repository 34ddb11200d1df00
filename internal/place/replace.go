package place

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// Exists reports whether a file of ours is there. A link, say, was made by
// somebody who keeps such files elsewhere, or by 'systemctl mask', and is not
// ours to break.
func Exists(file string) (bool, error) {
	fi, err := os.Lstat(file)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file, and was not made by 'agent install'; remove it, and try again", file)
	}
	return err == nil, err
}

// Aside is where a file is written before it takes its place. No manager reads
// one with such a name.
func Aside(file string) string {
	return filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".new")
}

// Replace sees to it that file has this content. It replaces what was there at
// once and whole, or not at all, and returns what it wrote.
func Replace(file string, content []byte, mode os.FileMode) (wrote string, err error) {
	if _, err := Exists(file); err != nil {
		return "", err
	}
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, content) {
		return "", nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	err = os.WriteFile(Aside(file), content, mode)
	if err == nil {
		err = os.Rename(Aside(file), file)
	}
	if err != nil {
		os.Remove(Aside(file))
		return "", err
	}
	return file, nil
}
