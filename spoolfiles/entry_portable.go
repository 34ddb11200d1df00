//go:build !unix || portable

package spoolfiles

import "errors"

// remove removes no directories, which os.Root would.
func remove(d *Dir, name string) error {
	info, err := d.Lstat(name)
	if err == nil && info.Mode.IsDir() {
		err = errors.New("is a directory")
	}
	if err != nil {
		return err
	}
	return d.root.Remove(name)
}

// rename stays inside the root of .spool.
func rename(from *Dir, name string, to *Dir, toName string) error {
	if from.top != to.top {
		return errors.New("the directories are not of one spool")
	}
	return from.top.Rename(from.rel+name, to.rel+toName)
}
