//go:build !linux && !darwin && !windows

package service

import (
	"fmt"
	"runtime"
)

// New returns an error that says what to do instead.
func New() (*Service, error) {
	return nil, noManager(fmt.Errorf("%s has none for users", runtime.GOOS))
}
