//go:build !linux && !darwin && !windows

package service

import (
	"errors"
	"runtime"
)

// New returns an error that says what to do instead.
func New() (*Service, error) {
	return nil, errors.New("services of users are not known on " + runtime.GOOS +
		"; let another program keep 'agent run --service' running, such as cron with a line '@reboot agent run --service'")
}
