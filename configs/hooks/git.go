package hooks

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

var (
	//go:embed git.sh
	gitHook string
	//go:embed githook.sh
	gitHookText string // a hook as we make it
	//go:embed githook-after-lfs.sh
	gitHookAfterLFS string // what belongs behind a hook of Git LFS
	//go:embed opencode-plugin.js
	plugin string
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
	if err != nil {
		return path, nil
	}
	scope, value, _ := strings.Cut(origin, "\t")
	if fi, err := os.Stat(path); value == "" || err == nil && !fi.IsDir() {
		return "", fmt.Errorf("git runs no hooks here, since core.hooksPath is %q; if that is not wanted: git config --%s --unset core.hooksPath", value, scope)
	}
	if scope == "global" || scope == "system" {
		return "", fmt.Errorf("the hooks in %s are run in all your repositories (core.hooksPath, %s); set core.hooksPath in this repository first, or have those hooks run %s", path, scope, gitScript)
	}
	return path, nil
}

// gitHookPath is the file of a hook that is, or may be, ours.
func gitHookPath(dir, name string) string {
	path := filepath.Join(dir, name)
	others := []string{path + ".legacy"} // pre-commit moves there what it finds in its place
	if isHusky(dir) {
		others = append(others, filepath.Join(filepath.Dir(dir), name))
	}
	for _, other := range others {
		if data, _, err := read(other); err == nil && bytes.Contains(data, []byte(gitScriptPath)) {
			return other
		}
	}
	return path
}

func isHusky(dir string) bool { return strings.HasSuffix(filepath.ToSlash(dir), "/.husky/_") }

// prepareGit finds out, before hooks are put into a repository's directory, what
// has to be known of that, and the hooks that Git LFS must have there.
func (p *Plan) prepareGit(ctx context.Context, project string, targets []target) error {
	inTree := func(dir string) bool {
		is, err := git(ctx, dir, "rev-parse", "--is-inside-work-tree")
		return err == nil && is == "true"
	}
	switch dir := filepath.Dir(targets[0].path); {
	case !inTree(project):
		return fmt.Errorf("%s is in no work tree, and so in no project; name a work tree of the repository with --project DIR", project)
	case isHusky(dir):
		p.Notes = append(p.Notes, "husky writes .husky/_ anew at each npm install, and our hooks are gone then. For hooks that last, 'agent hooks uninstall git', put this line into .husky/HOOK, "+
			"HOOK being each of "+strings.Join(gitHooks[:], ", ")+", and install again:  [ ! -r ~/"+gitScriptPath+" ] || sh ~/"+gitScriptPath+` HOOK "$@"`)
	case inTree(dir) && filepath.Base(dir) != ".husky": // in which the hooks are by hand
		p.Notes = append(p.Notes, fmt.Sprintf("core.hooksPath is %s, in the work tree: take care not to commit our lines", dir))
	}
	return p.prepareLFS(ctx, project, targets)
}

// prepareLFS has Git LFS say which hooks it installs, where it is set up. Where it
// is set up but not here, ours would be in the way of its own.
func (p *Plan) prepareLFS(ctx context.Context, project string, targets []target) error {
	_, filter := git(ctx, project, "config", "--get-regexp", `^filter\.lfs\.`)
	_, attribute := git(ctx, project, "grep", "--untracked", "-q", "filter=lfs", "--", ":(top,glob)**/.gitattributes")
	if filter != nil && attribute != nil {
		return nil
	}
	tmp, err := os.MkdirTemp("", "spool-agent-lfs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for _, args := range [][]string{{"init", "-q", "--template="}, {"config", "core.hooksPath", tmp}, {"lfs", "update"}} {
		if _, err := git(ctx, tmp, args...); err != nil {
			return fmt.Errorf("%s is for Git LFS, whose hooks must be there before ours, but git-lfs cannot be asked for them: %w; install it first", project, err)
		}
	}
	for i, name := range gitHooks {
		if data, _, err := read(filepath.Join(tmp, name)); err == nil {
			targets[i].edit = block{data}
		}
	}
	p.Notes = append(p.Notes, "Git LFS is set up here, so its own hooks come first, and stay when ours go")
	return nil
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
