//go:build !linux && !darwin && !freebsd

package agent

// foreignFS would name a file system on which others make changes that this
// kernel does not see. Where it cannot be asked, the safety scan has to do.
func foreignFS(string) string { return "" }
