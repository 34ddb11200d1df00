//go:build unix

package hooks

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// repository makes one, with a commit.
func repository(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	runGit(t, dir, "init", "-q", "-b", "main")
	runGit(t, dir, "commit", "-q", "--allow-empty", "-m", "first")
}

func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := gitCommand(dir, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func gitCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", append([]string{"-c", "user.name=A", "-c", "user.email=a@example.org"}, args...)...)
	cmd.Dir = dir
	return cmd
}

// A git.sh for these tests: it notes how it was called. What the real one does
// with that is tested where it is.
const noting = `#!/bin/sh
{ printf '<%s>' "$@"; echo; cat; } >>"$HOME/called"
echo noise; echo noise >&2
exit 3
`

func newGitSetup(t *testing.T) (s *Setup, dir string) {
	t.Helper()
	s = newSetup(t)
	s.scripts[gitScript] = noting
	dir = filepath.Join(s.home, "a 'b'\n$c")
	repository(t, dir)
	return s, dir
}

// calls are what git.sh was called with since the last time.
func calls(t *testing.T, s *Setup) string {
	t.Helper()
	path := filepath.Join(s.home, "called")
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	os.Remove(path)
	return string(data)
}

func hook(t *testing.T, text, dir, name string) string {
	t.Helper()
	path := put(t, text, dir, ".git", "hooks", name)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGitEvents(t *testing.T) {
	s, dir := newGitSetup(t)
	install(t, s, gitName, dir)
	quiet := func(args ...string) {
		t.Helper()
		if out := runGit(t, dir, args...); strings.Contains(out, "noise") {
			t.Errorf("git %v prints %s", args, out)
		}
	}
	first := strings.TrimSpace(runGit(t, dir, "rev-parse", "HEAD"))
	quiet("commit", "--allow-empty", "-m", "second \x01 ü $(x) `y`")
	if got, want := calls(t, s), "<post-commit>\n"; got != want {
		t.Errorf("commit: %q, want %q", got, want)
	}
	second := strings.TrimSpace(runGit(t, dir, "rev-parse", "HEAD"))
	quiet("commit", "--amend", "--allow-empty", "-m", "second")
	amended := strings.TrimSpace(runGit(t, dir, "rev-parse", "HEAD"))
	if got, want := calls(t, s), fmt.Sprintf("<post-commit>\n<post-rewrite><amend>\n%s %s\n", second, amended); got != want {
		t.Errorf("amend: %q, want %q", got, want)
	}
	quiet("checkout", "-q", "-b", "topic", "HEAD~1")
	if got, want := calls(t, s), fmt.Sprintf("<post-checkout><%s><%s><1>\n", amended, first); got != want {
		t.Errorf("checkout: %q, want %q", got, want)
	}
	quiet("merge", "-q", "main")
	if got, want := calls(t, s), "<post-merge><0>\n"; got != want {
		t.Errorf("merge: %q, want %q", got, want)
	}
	bare := filepath.Join(s.home, "bare")
	runGit(t, s.home, "init", "-q", "--bare", bare)
	quiet("push", "-q", bare, "topic")
	want := fmt.Sprintf("<pre-push><%s><%s>\nrefs/heads/topic %s refs/heads/topic %s\n", bare, bare, amended, strings.Repeat("0", 40))
	if got := calls(t, s); got != want {
		t.Errorf("push: %q, want %q", got, want)
	}
	quiet("push", "-q", bare, "topic") // nothing to push: git gives an empty input
	if got, want := calls(t, s), fmt.Sprintf("<pre-push><%s><%s>\n", bare, bare); got != want {
		t.Errorf("empty push: %q, want %q", got, want)
	}
}

// Hooks that were there first run as if they were alone, in every shell: their
// name, arguments, input, output and status.
func TestGitHooksOfOthers(t *testing.T) {
	theirs := `
{ printf '%s' "$0"; printf '<%s>' "$@"; echo; cat; } >>"$HOME/theirs"
echo "their words"; echo "their complaint" >&2
[ ! -e "$HOME/fail" ] || exit 7
exit 0
echo never
`
	lines := []string{"#!/bin/sh", "#!/bin/sh -eu"}
	if agenttest.Tools {
		lines = append(lines, "#!/usr/bin/env bash", "#!/bin/bash", "#! /usr/bin/env -S bash -e")
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			s, dir := newGitSetup(t)
			for _, name := range gitHooks {
				hook(t, line+theirs, dir, name)
			}
			bare := filepath.Join(s.home, "bare")
			runGit(t, s.home, "init", "-q", "--bare", bare)
			act := func() (said string) {
				os.Remove(filepath.Join(s.home, "theirs"))
				for _, args := range [][]string{
					{"commit", "-q", "--allow-empty", "-m", "x"},
					{"commit", "-q", "--allow-empty", "--amend", "-m", "y"},
					{"checkout", "-q", "-B", "topic"},
					{"push", "-q", "-f", bare, "HEAD"},
				} {
					cmd := gitCommand(dir, args...)
					cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z")
					out, err := cmd.CombinedOutput()
					said += fmt.Sprintf("%s%v\n", out, err)
				}
				return said + get(t, s.home, "theirs")
			}
			reset := func() {
				runGit(t, dir, "-c", "core.hooksPath=/dev/null", "checkout", "-q", "main")
				runGit(t, dir, "-c", "core.hooksPath=/dev/null", "reset", "-q", "--hard", "main~1")
				runGit(t, dir, "-c", "core.hooksPath=/dev/null", "branch", "-q", "-D", "topic")
				os.RemoveAll(bare)
				runGit(t, s.home, "init", "-q", "--bare", bare)
			}
			for _, failing := range []bool{false, true} {
				if failing {
					put(t, "", s.home, "fail")
				}
				alone := act()
				reset()
				install(t, s, gitName, dir)
				checkState(t, s, gitName, dir, Connected)
				calls(t, s)
				if with := act(); with != alone {
					t.Errorf("failing %t: they are not as they were alone:\n%s\nwas\n%s", failing, with, alone)
				}
				pushed := strings.Contains(calls(t, s), "<pre-push>")
				if pushed == failing {
					t.Errorf("failing %t: a push was told: %t", failing, pushed)
				}
				uninstall(t, s, gitName, dir)
				if got := get(t, dir, ".git", "hooks", "post-commit"); got != line+theirs {
					t.Errorf("uninstalled, their hook is %s", got)
				}
				reset()
			}
		})
	}
}

// A hook that commits in its own hook, and one that commits elsewhere.
func TestGitHooksNest(t *testing.T) {
	s, dir := newGitSetup(t)
	other := filepath.Join(s.home, "other")
	repository(t, other)
	hook(t, `#!/bin/sh
[ -e "$HOME/once" ] && exit
touch "$HOME/once"
git -c user.name=A -c user.email=a@b commit -q --allow-empty -m nested
unset $(git rev-parse --local-env-vars)
cd "$HOME/other" && git -c user.name=A -c user.email=a@b commit -q --allow-empty -m elsewhere
`, dir, "post-commit")
	install(t, s, gitName, dir)
	install(t, s, gitName, other)
	runGit(t, dir, "commit", "-q", "--allow-empty", "-m", "outer")
	if got, want := calls(t, s), "<post-commit>\n<post-commit>\n<post-commit>\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Without the scripts, git does not notice that our lines are there.
func TestGitWithoutScripts(t *testing.T) {
	s, dir := newGitSetup(t)
	hook(t, "#!/bin/sh\necho theirs \"$1\" >&2\nexit 1\n", dir, "post-checkout")
	install(t, s, gitName, dir)
	os.RemoveAll(s.share(""))
	if out := runGit(t, dir, "commit", "-q", "--allow-empty", "-m", "x"); out != "" {
		t.Errorf("git says %s", out)
	}
	if out, err := gitCommand(dir, "checkout", "-q", "-b", "y").CombinedOutput(); err == nil || !bytes.HasPrefix(out, []byte("theirs")) {
		t.Errorf("%s, %v", out, err)
	}
	cmd := gitCommand(dir, "commit", "-q", "--allow-empty", "-m", "x")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // not even a HOME
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("without HOME: %s, %v", out, err)
	}
}

func TestGitHooksThatStay(t *testing.T) {
	s, dir := newGitSetup(t)
	python := hook(t, "#!/usr/bin/env python3\nprint('x')\n", dir, "pre-push")
	idle := put(t, "#!/bin/sh\necho x\n", dir, ".git", "hooks", "post-merge")
	shared := put(t, "#!/bin/sh\necho x\n", dir, "scripts", "hook")
	link(t, "../../scripts/hook", filepath.Join(dir, ".git", "hooks", "post-checkout"))
	bare := hook(t, "echo x\n", dir, "post-rewrite")
	before := get(t, python) + get(t, idle) + get(t, shared) + get(t, bare)

	p := install(t, s, gitName, dir)
	want := []string{
		"post-checkout is a link to ", "post-merge is not executable", "post-rewrite is not a shell script", "pre-push is not a shell script"}
	if len(p.Notes) != len(want) {
		t.Fatalf("notes: %q", p.Notes)
	}
	for i, note := range p.Notes {
		if !strings.Contains(note, want[i]) || !strings.Contains(note, "left alone; have it run:  sh ") {
			t.Errorf("note: %s", note)
		}
	}
	if got := get(t, python) + get(t, idle) + get(t, shared) + get(t, bare); got != before {
		t.Errorf("they became %s", got)
	}
	checkState(t, s, gitName, dir, Connected)
	if off := s.Check(t.Context(), tool(t, gitName), dir).Off; off != p.Notes[0] {
		t.Errorf("off: %s", off)
	}
	uninstall(t, s, gitName, dir)
	if got := get(t, python) + get(t, idle) + get(t, shared) + get(t, bare); got != before {
		t.Errorf("uninstalled, they became %s", got)
	}

	hook(t, "#!/usr/bin/perl\n", dir, "post-commit")
	refused(t, s, gitName, dir, "post-commit is not a shell script")
}

// What others add to a hook that we have made, or around our lines, stays.
func TestGitBlockAmongOthers(t *testing.T) {
	s, dir := newGitSetup(t)
	install(t, s, gitName, dir)
	path := filepath.Join(dir, ".git", "hooks", "post-commit")
	text := get(t, path)
	put(t, strings.Replace(text, shebang, shebang+"# before\n", 1)+"echo after\n", path)
	checkState(t, s, gitName, dir, Outdated)
	install(t, s, gitName, dir)
	checkState(t, s, gitName, dir, Connected)
	uninstall(t, s, gitName, dir)
	if got, want := get(t, path), shebang+"# before\necho after\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// An older block is replaced where it stands; a broken one is not touched.
	put(t, shebang+blockBegin+"\nold\n"+blockEnd+"echo theirs\n", path)
	os.Chmod(path, 0o755)
	checkState(t, s, gitName, dir, Outdated)
	install(t, s, gitName, dir)
	if got, want := get(t, path), shebang+blockText+"echo theirs\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	put(t, shebang+blockBegin+"\nold\n", path)
	refused(t, s, gitName, dir, "remove what is left by hand")
}

func TestGitPlaces(t *testing.T) {
	s, dir := newGitSetup(t)
	refused(t, s, gitName, "", "connect them one by one, with --project DIR")
	refused(t, s, gitName, s.home, "not a git repository")

	// A worktree has the hooks of its repository, a subdirectory as well.
	tree := filepath.Join(s.home, "tree")
	runGit(t, dir, "worktree", "add", "-q", tree)
	sub := filepath.Join(tree, "sub")
	os.Mkdir(sub, 0o755)
	install(t, s, gitName, sub)
	checkState(t, s, gitName, dir, Connected)
	runGit(t, tree, "commit", "-q", "--allow-empty", "-m", "x")
	if got, want := calls(t, s), "<post-commit>\n"; got != want {
		t.Errorf("in a worktree: %q, want %q", got, want)
	}
	// Not that of the hook that we may have been started by.
	t.Setenv("GIT_DIR", filepath.Join(s.home, "none"))
	checkState(t, s, gitName, dir, Connected)
	os.Unsetenv("GIT_DIR")
	uninstall(t, s, gitName, dir) // which was not the directory that it was installed from
	if _, err := os.Lstat(s.share("")); err == nil {
		t.Error("the scripts are still there")
	}

	// This repository's own place.
	runGit(t, dir, "config", "core.hooksPath", "my hooks")
	os.Mkdir(filepath.Join(dir, "my hooks"), 0o755)
	install(t, s, gitName, dir)
	if got := s.Check(t.Context(), tool(t, gitName), dir).File; got != filepath.Join(dir, "my hooks") {
		t.Errorf("the hooks are in %s", got)
	}
	runGit(t, dir, "commit", "-q", "--allow-empty", "-m", "x")
	if got, want := calls(t, s), "<post-commit>\n"; got != want {
		t.Errorf("with core.hooksPath: %q, want %q", got, want)
	}
	uninstall(t, s, gitName, dir)
	runGit(t, dir, "config", "--unset", "core.hooksPath")

	// One for all repositories is not this one's.
	runGit(t, dir, "config", "--global", "core.hooksPath", "~/all")
	refused(t, s, gitName, dir, "are run in all your repositories (core.hooksPath, global)")
}

// What a user's hook starts has no variable of ours.
func TestGitEnvironment(t *testing.T) {
	s, dir := newGitSetup(t)
	hook(t, "#!/bin/sh\nenv | sort >>\"$HOME/env\"\n", dir, "post-checkout")
	runGit(t, dir, "checkout", "-q", "-b", "topic")
	alone := get(t, s.home, "env")
	install(t, s, gitName, dir)
	put(t, "", s.home, "env")
	runGit(t, dir, "checkout", "-q", "main")
	if got := get(t, s.home, "env"); got != alone {
		t.Errorf("with ours, its environment is\n%s\nnot\n%s", got, alone)
	}
	if got := calls(t, s); !strings.HasPrefix(got, "<post-checkout>") {
		t.Errorf("%q", got)
	}
}

// pre-commit moves a hook away and runs it itself, under another name.
func TestGitLegacy(t *testing.T) {
	s, dir := newGitSetup(t)
	install(t, s, gitName, dir)
	for _, name := range gitHooks {
		path := filepath.Join(dir, ".git", "hooks", name)
		if err := os.Rename(path, path+".legacy"); err != nil {
			t.Fatal(err)
		}
		hook(t, "#!/usr/bin/env bash\n\"$0.legacy\" \"$@\"\n", dir, name)
	}
	checkState(t, s, gitName, dir, Connected)
	if p := install(t, s, gitName, dir); len(p.Changes) > 0 {
		t.Errorf("it was connected once more: %v", p.Changes)
	}
	runGit(t, dir, "commit", "-q", "--allow-empty", "-m", "x")
	bare := filepath.Join(s.home, "bare")
	runGit(t, s.home, "init", "-q", "--bare", bare)
	runGit(t, dir, "push", "-q", bare, "HEAD:refs/heads/main")
	if got, want := calls(t, s), "<post-commit>\n<pre-push><"+bare+"><"+bare+">\nHEAD "; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q and more", got, want)
	}
	uninstall(t, s, gitName, dir)
	if _, err := os.Lstat(filepath.Join(dir, ".git", "hooks", "post-commit.legacy")); err == nil {
		t.Error("ours is still there")
	}
}

// husky writes its directory anew at any time. What it runs from the one above stays.
func TestGitHusky(t *testing.T) {
	s, dir := newGitSetup(t)
	runGit(t, dir, "config", "core.hooksPath", ".husky/_")
	husky := func() {
		for _, name := range gitHooks {
			text := "#!/usr/bin/env sh\nuser=${0%_/*}" + name + "\n[ ! -f \"$user\" ] || sh -e \"$user\" \"$@\"\n"
			if err := os.Chmod(put(t, text, dir, ".husky", "_", name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	husky()
	commit := func(want string) {
		t.Helper()
		runGit(t, dir, "commit", "-q", "--allow-empty", "-m", "x")
		if got := calls(t, s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	p := install(t, s, gitName, dir)
	if len(p.Notes) != 1 || !strings.HasPrefix(p.Notes[0], "husky writes .husky/_ anew at each npm install") {
		t.Fatalf("notes: %q", p.Notes)
	}
	commit("<post-commit>\n")
	husky()
	checkState(t, s, gitName, dir, Gone)
	commit("")

	// As the note says.
	uninstall(t, s, gitName, dir)
	_, line, _ := strings.Cut(p.Notes[0], "install again:  ")
	for _, name := range gitHooks {
		put(t, strings.Replace(line, "HOOK", name, 1)+"\necho more\n", dir, ".husky", name)
	}
	commit("") // without the script, nothing
	p = install(t, s, gitName, dir)
	if len(p.Notes) > 0 {
		t.Errorf("notes: %q", p.Notes)
	}
	husky()
	commit("<post-commit>\n")
	checkState(t, s, gitName, dir, Connected)
	p = uninstall(t, s, gitName, dir)
	if len(p.Notes) != len(gitHooks) || !strings.HasSuffix(p.Notes[0], "post-commit runs git.sh: that is for you to take out") {
		t.Errorf("notes: %q", p.Notes)
	}
	commit("")
}

// Where git runs no hooks, or those of a repository without files, none are put.
func TestGitNoHooks(t *testing.T) {
	s, dir := newGitSetup(t)
	bare := filepath.Join(s.home, "bare")
	runGit(t, s.home, "clone", "-q", "--bare", dir, bare)
	refused(t, s, gitName, bare, "is in no work tree")
	for _, value := range []string{"", "/dev/null"} {
		runGit(t, dir, "config", "core.hooksPath", value)
		refused(t, s, gitName, dir, fmt.Sprintf("git runs no hooks here, since core.hooksPath is %q; if that is not wanted: git config --local --unset core.hooksPath", value))
	}
	if out := runGit(t, dir, "status", "--short"); out != "" {
		t.Errorf("in the work tree is %s", out)
	}
	runGit(t, dir, "config", "core.hooksPath", "hooks")
	put(t, "", dir, "hooks", "README")
	p := install(t, s, gitName, dir)
	if want := "core.hooksPath is " + filepath.Join(dir, "hooks") + ", in the work tree"; len(p.Notes) != 1 || !strings.HasPrefix(p.Notes[0], want) {
		t.Errorf("notes: %q, want %s", p.Notes, want)
	}
	// The files of a bare repository that has work trees beside it.
	tree := filepath.Join(s.home, "tree")
	runGit(t, bare, "worktree", "add", "-q", tree)
	install(t, s, gitName, tree)
	checkState(t, s, gitName, tree, Connected)
}

// ofLFS is a hook as Git LFS makes it.
const ofLFS = "#!/bin/sh\ncommand -v git-lfs >/dev/null 2>&1 || { echo >&2 none; exit 2; }\ngit lfs pre-push \"$@\"\n"

// Whatever the script is, our lines leave no trace.
func FuzzBlock(f *testing.F) {
	f.Add([]byte("#!/bin/sh\nexit 0\n"))
	f.Add([]byte("#! /usr/bin/env -S bash -e"))
	f.Add([]byte(shebang + blockText + "x"))
	f.Add([]byte(shebang))
	f.Add([]byte("#!/bin/sh"))
	f.Add([]byte(ofLFS))
	f.Add(append(padLFS([]byte(ofLFS)), blockAfterLFS+"more\n"...))
	f.Add(append(padLFS([]byte(ofLFS)), "more\n"...))
	f.Add([]byte(shebang + blockText + strings.TrimPrefix(ofLFS, shebang)))
	f.Add([]byte(`sh "$HOME/.local/share/spool-agent/git.sh"` + "\n"))
	f.Add([]byte(shebang + blockBegin + "\n" + blockEnd))
	f.Fuzz(func(t *testing.T, data []byte) {
		if data == nil {
			return
		}
		after, err := block{}.connect(data)
		if err != nil {
			return
		}
		if state, err := (block{}).state(after); err != nil || state != Connected {
			t.Fatalf("%s, %v:\n%s", state, err, after)
		}
		if again, err := (block{}).connect(after); err != nil || !bytes.Equal(again, after) {
			t.Fatalf("connected twice, %v:\n%s", err, again)
		}
		without, err := block{}.disconnect(after)
		if err != nil || bytes.Contains(data, []byte("\n"+blockBegin)) || lfsPadded().Match(data) {
			return // something of ours was there
		}
		if !bytes.Contains(data, []byte("\n")) && !byHand(data) {
			data = append(data, '\n')
		}
		if !bytes.Equal(without, data) && string(data) != shebang { // nothing but that is ours
			t.Fatalf("%q became %q", data, without)
		}
	})
}
