//go:build man

package main

import (
	"os"
	"time"

	"github.com/spf13/cobra/doc"
)

// With the build tag man, this program is another one: it writes the man pages
// into the directory that is its argument, dated $SOURCE_DATE_EPOCH. So the agent
// has no part of what makes them.
func main() {
	time.Local = time.UTC // a date is the same everywhere
	root := newRoot(new(options))
	root.DisableAutoGenTag = true
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "spool agent"}, os.Args[1]); err != nil {
		complain(err)
		os.Exit(exitFailed)
	}
}
