package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"spoolagent/spoolfiles"
)

// advice says what to do about a project that needs attention. Err is what
// went wrong when its spool was looked at just now, if anything did.
func advice(project string, s State, err error) string {
	var owner *spoolfiles.OwnerError
	var at *fs.PathError
	switch p := ShellWord(project); {
	case s == StateMissing && isDir(project):
		return fmt.Sprintf("agent add %s makes its .spool now, agent remove %s forgets the project", p, p)
	case s == StateMissing:
		return fmt.Sprintf("agent remove %s, if it does not come back", p)
	case errors.As(err, &owner):
		return fmt.Sprintf("sudo chown -R %d %s, if it is yours", os.Geteuid(), ShellWord(filepath.Join(project, spoolfiles.DirName)))
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &at) && filepath.IsAbs(at.Path):
		return "chmod u+rwX " + ShellWord(at.Path)
	default:
		return "agent doctor --project " + p + " looks closer"
	}
}

// ForeignFS names a directory's file system if it is one on which others make
// changes that are not seen here, so that projects on it are polled; else "".
func ForeignFS(dir string) string { return foreignFS(dir) }

// ShellWord is a path as a shell takes it, in printable characters.
func ShellWord(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	if quote(path) == path {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(path) {
		switch c := path[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03s`, strconv.FormatUint(uint64(c), 8))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
