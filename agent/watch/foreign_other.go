//go:build !linux && !darwin && !freebsd

package watch

// Foreign would name a file system on which others make changes that this
// kernel does not see. Where it cannot be asked, the safety scan has to do.
func Foreign(string) string { return "" }
