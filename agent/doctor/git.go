package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"spoolagent/spoolfiles"
)

const (
	ignoreName = ".gitignore"
	maxIgnore  = 64 << 10 // bytes
	// gitPatience is how long git may take to look into its index.
	gitPatience = 2 * time.Second
)

// git looks whether the spool is, or might come to be, in a repository.
func (e *examiner) git(ctx context.Context, root *spoolfiles.Dir) {
	data, _, err := root.ReadFile(ignoreName, maxIgnore)
	if !inRepository(e.report.project) {
		return
	}
	const anew = `echo '*' >` + dir + "/.spool/" + ignoreName
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.find("spool.git", Warning, "there is no .gitignore in the spool, so that it may come into the repository", "", anew)
	case err != nil:
		e.find("spool.git", Warning, "the spool's .gitignore cannot be read", reason(err), "rm "+dir+"/.spool/"+ignoreName+"; "+anew)
	case !ignoresAll(data):
		e.find("spool.git", Warning, "the spool's .gitignore does not say *, so that it may come into the repository", "", anew)
	}
	if tracked(ctx, e.report.project) {
		e.find("spool.git", Failure, "the spool is tracked by git: whoever clones it gets your signals, and you theirs", "", "git -C "+dir+" rm -r -q --cached .spool, and commit")
	}
}

func ignoresAll(ignore []byte) bool {
	for lines := bufio.NewScanner(bytes.NewReader(ignore)); lines.Scan(); {
		if string(bytes.TrimSpace(lines.Bytes())) == "*" {
			return true
		}
	}
	return false
}

// inRepository reports whether the project is below a .git.
func inRepository(project string) bool {
	for at := project; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return true
		}
		if at == filepath.Dir(at) {
			return false
		}
	}
}

// tracked asks git whether the spool is in its index. The settings of a
// repository can name programs for git to run: that for watching files is the
// one which this would run, and is overridden. That git cannot tell is no news
// about the spool.
func tracked(ctx context.Context, project string) bool {
	ctx, cancel := context.WithTimeout(ctx, gitPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "-C", project, "-c", "core.fsmonitor=false", "--literal-pathspecs", "--no-optional-locks",
		"ls-files", "--error-unmatch", "--", spoolfiles.DirName)
	cmd.WaitDelay = gitPatience
	// Within a hook of git, these would name its repository.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	return cmd.Run() == nil
}
