//go:build !unix

package agent

// maxOpen is how many files this process may have open.
func maxOpen() int { return 1 << 20 }
