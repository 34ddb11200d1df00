package status

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"spoolagent/agent"
	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// advice says what to do about a project that needs attention. Err is what
// went wrong when its spool was read just now, if anything did.
func advice(project string, s agent.State, err error) string {
	var owner *spoolfiles.OwnerError
	var at *fs.PathError
	switch p := quote.Shell(project); {
	case s == agent.StateMissing && isDirectory(project):
		return fmt.Sprintf("agent add %s makes its .spool now, agent remove %s forgets the project", p, p)
	case s == agent.StateMissing:
		return fmt.Sprintf("agent remove %s, if it does not come back", p)
	case errors.As(err, &owner):
		return fmt.Sprintf("sudo chown -R %d %s, if it is yours", os.Geteuid(), quote.Shell(filepath.Join(project, spoolfiles.DirName)))
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &at) && filepath.IsAbs(at.Path):
		return "chmod u+rwX " + quote.Shell(at.Path)
	default:
		return "agent doctor --project " + p + " looks closer"
	}
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
