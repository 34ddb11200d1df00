//go:build !linux

package doctor

import "spoolagent/agent"

// used would count what this user's processes have taken of what is limited.
func used(*agent.Info) (usage, bool) { return usage{}, false }

// isStopped would report whether a process was stopped by a signal.
func isStopped(int) bool { return false }
