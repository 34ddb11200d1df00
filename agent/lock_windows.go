package agent

import (
	"os"

	"github.com/gofrs/flock"
)

// Locks are mandatory on Windows: nobody could read who holds a locked file.
const (
	lockName   = "agent.lock.held" // is locked
	holderName = "agent.lock"      // says by whom
)

func lockedThis(*flock.Flock, *os.File) (bool, error) { return true, nil }
