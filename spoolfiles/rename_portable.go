//go:build !unix || portable

package spoolfiles

import "errors"

// rename stays inside the root of .spool.
func rename(from *Dir, name string, to *Dir, toName string) error {
	if from.top != to.top {
		return errors.New("the directories are not of one spool")
	}
	return from.top.Rename(from.rel+name, to.rel+toName)
}
