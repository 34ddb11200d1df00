package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// checkHere says which project a hook gets that starts in this directory, and why.
func checkHere(start string) Check {
	c := Check{Name: "here", Status: OK}
	project := spoolfiles.Find(start)
	stores := "a hook here stores in " + project + ", "
	sp, err := spoolfiles.OpenExisting(project)
	switch {
	case err == nil:
		defer sp.Close()
		c.Detail = stores + "the nearest directory upwards that has a .spool"
		if sp.Off() {
			c.Status, c.Detail = Warning, fmt.Sprintf("a hook here stores nothing: recording is off in %s", project)
			c.Mend = "agent on " + quote.Shell(project)
		}
	case !errors.Is(err, fs.ErrNotExist):
		c.Status, c.Detail = Warning, "a hook here stores nothing: "+err.Error()
		c.Mend = "ls -la " + quote.Shell(filepath.Join(project, spoolfiles.DirName))
	default:
		c.Detail = stores + "since no directory upwards has a .spool or is the top of a git work tree"
		if _, err := os.Lstat(filepath.Join(project, ".git")); err == nil {
			c.Detail = stores + "the top of the git work tree"
		}
	}
	return c
}
