package spoolfiles

import (
	"errors"
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

// lstat opens the entry, since only an open file tells its index.
func lstat(root *os.Root, name string) (Info, error) {
	f, err := root.OpenFile(name, windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	return stat(f)
}

func stat(f *os.File) (Info, error) {
	fi, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	var by windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &by); err != nil {
		return Info{}, err
	}
	return Info{
		Identity: Identity{
			Ino:   uint64(by.FileIndexHigh)<<32 | uint64(by.FileIndexLow),
			Size:  fi.Size(),
			MTime: fi.ModTime().UnixNano(),
		},
		Mode:  fi.Mode(),
		Links: uint64(by.NumberOfLinks),
		dev:   uint64(by.VolumeSerialNumber),
	}, nil
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
