//go:build !linux && !darwin && !freebsd

package doctor

// littleRoom would say how much room the file system of path has.
func littleRoom(string) string { return "" }
