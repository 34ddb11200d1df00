package agent

import "spoolagent/agent/watch"

// eventless says why no events can be relied on in a directory; nil if they can.
func eventless(dir string) error {
	if name := watch.Foreign(dir); name != "" {
		return &watch.ForeignError{FileSystem: name}
	}
	return nil
}
