package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// watchReader cannot be done on Windows: the next write shows that the reader
// has gone.
func watchReader(*os.File, func()) {}

func readerGone(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}
