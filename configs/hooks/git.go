package hooks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// hooksDir is where git looks for the hooks of the repository that a directory
// is in: one place for all its worktrees, or where core.hooksPath says.
func hooksDir(ctx context.Context, dir string) (string, error) {
	path, err := git(ctx, dir, "rev-parse", "--git-path", "hooks")
	if err != nil {
		return "", fmt.Errorf("finding the hooks of %s: %w; name another repository with --project DIR", dir, err)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	// Of the places that core.hooksPath may be set in, the last one counts.
	origin, err := git(ctx, dir, "config", "--show-scope", "--get", "core.hooksPath")
	if scope, _, _ := strings.Cut(origin, "\t"); err == nil && (scope == "global" || scope == "system") {
		return "", fmt.Errorf("the hooks in %s are run in all your repositories (core.hooksPath, %s); set core.hooksPath in this repository first, or have those hooks run %s", path, scope, gitScript)
	}
	return path, nil
}

// git runs git and returns the line that it prints.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	// We may have been started by a hook of another repository.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"}, name)
	})
	out, err := cmd.Output()
	if exited := new(exec.ExitError); errors.As(err, &exited) {
		said, _, _ := strings.Cut(strings.TrimSpace(string(exited.Stderr)), "\n")
		return "", fmt.Errorf("%s (%w)", strings.TrimPrefix(said, "fatal: "), err)
	}
	return strings.TrimSuffix(string(out), "\n"), err
}

// editable refuses a hook that is not for us to change.
func editable(f file) error {
	if fi, err := os.Lstat(f.path); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		return foreign("is a link to " + f.real)
	}
	if f.info.Mode().Perm()&0o111 == 0 {
		return foreign("is not executable, so that git does not run it")
	}
	return nil
}
