//go:build !linux && !darwin && !windows

package service

import (
	"fmt"
	"runtime"
)

// New returns an error that says what to do instead.
func New() (*Service, error) {
	return nil, fmt.Errorf("services of users are not known on %s; %s", runtime.GOOS, withoutManager())
}
