//go:build !linux && !darwin && !freebsd

package doctor

// mayMake would report whether this user may make files in a directory.
func mayMake(string) bool { return true }

// littleRoom would say how much room the file system of path has.
func littleRoom(string) string { return "" }
