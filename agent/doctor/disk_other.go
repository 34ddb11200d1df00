//go:build !linux && !darwin && !freebsd

package doctor

// spaceOf would return how much room the file system of path has.
func spaceOf(string) space { return space{} }
