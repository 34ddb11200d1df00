package spoolfiles

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// OpenSafely are the flags that keep an opening by path from following a link
// or blocking; Windows has none.
const OpenSafely = 0

const (
	nonblock  = 0
	hasOwners = false
)

func infoOf(fi fs.FileInfo, err error) (Info, error) {
	if err != nil {
		return Info{}, err
	}
	return Info{Identity: Identity{Size: fi.Size(), MTime: fi.ModTime().UnixNano()}, Mode: fi.Mode(), Links: 1, fi: fi}, nil
}

// syncDir does nothing: Windows brings entries to the disk by itself.
func syncDir(*os.File) error { return nil }

// retry tries again for up to a tenth of a second while another process has a
// file open in a way that forbids the operation.
func retry(op func() error) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := op()
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !busy || wait > 64*time.Millisecond {
			return err
		}
		time.Sleep(wait)
	}
}
