//go:build unix

package agent

import "golang.org/x/sys/unix"

// maxOpen is how many files this process may have open. The runtime has raised
// that to what it may be raised to.
func maxOpen() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(min(uint64(limit.Cur), 1<<20))
}
