//go:build unix

package agent

import "golang.org/x/sys/unix"

// mayOpen is how many descriptors this process may have. The runtime has raised
// that to what it may be raised to.
func mayOpen() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(min(uint64(limit.Cur), 1<<20))
}
