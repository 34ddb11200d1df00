//go:build man

package main

import (
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra/doc"
)

// With the build tag man, this program is another one: it writes the man pages
// into the directory that is its argument, dated $SOURCE_DATE_EPOCH. So the agent
// has no part of what makes them.
func main() {
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err == nil {
		date := time.Unix(epoch, 0).UTC()
		root := newRoot(new(options))
		root.DisableAutoGenTag = true
		err = doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "spool agent", Date: &date}, os.Args[1])
	}
	if err != nil {
		complain(err)
		os.Exit(exitFailed)
	}
}
