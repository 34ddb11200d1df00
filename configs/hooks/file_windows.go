package hooks

import (
	"io/fs"
	"os"
)

// keepOwner has nothing to do: a new file gets what its directory hands down.
func keepOwner(*os.File, fs.FileInfo) error { return nil }

func hardLinks(fs.FileInfo) uint64 { return 1 }
