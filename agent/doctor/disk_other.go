//go:build !linux && !darwin && !freebsd && !windows

package doctor

import "errors"

// spaceOf would say how much room there is.
func spaceOf(string) (space, error) { return space{}, errors.ErrUnsupported }
