//go:build !linux

package watch

// Foreign would name a file system on which others make changes that this
// kernel does not see. Where it cannot be asked, the scan interval has to do.
func Foreign(string) string { return "" }
