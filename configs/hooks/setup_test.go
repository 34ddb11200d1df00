//go:build unix

package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/hujson"
)

const hookText = "#!/bin/sh\n# the hook of this test\n"

const programText = "the program of this test"

// newSetup is the setup of a user with a home directory of their own.
func newSetup(t *testing.T) *Setup {
	t.Helper()
	t.Setenv("HOME", filepath.Join(t.TempDir(), "home"))
	for _, v := range []string{"CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"} {
		t.Setenv(v, "")
	}
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	s, err := New(hookText)
	if err != nil {
		t.Fatal(err)
	}
	s.scripts[hookProgram] = programText
	if err := os.Mkdir(s.home, 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func tool(t *testing.T, name string) Tool {
	t.Helper()
	tool, ok := Named(name)
	if !ok {
		t.Fatalf("no tool %s", name)
	}
	return tool
}

func install(t *testing.T, s *Setup, name, project string) *Plan {
	t.Helper()
	p, err := s.Install(t.Context(), tool(t, name), project)
	if err == nil {
		err = p.Apply()
	}
	if err != nil {
		t.Fatalf("installing %s: %v", name, err)
	}
	return p
}

func uninstall(t *testing.T, s *Setup, name, project string) *Plan {
	t.Helper()
	p, err := s.Uninstall(t.Context(), tool(t, name), project)
	if err == nil {
		err = p.Apply()
	}
	if err != nil {
		t.Fatalf("uninstalling %s: %v", name, err)
	}
	return p
}

func refused(t *testing.T, s *Setup, name, project, want string) {
	t.Helper()
	p, err := s.Install(t.Context(), tool(t, name), project)
	if err == nil {
		err = p.Apply()
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("installing %s: %v\nwant an error with: %s", name, err, want)
	}
}

func checkState(t *testing.T, s *Setup, name, project string, want State) {
	t.Helper()
	if st := s.Check(t.Context(), tool(t, name), project); st.State != want || st.Err != nil {
		t.Errorf("%s in %q is %+v, want %s", name, project, st, want)
	}
}

func put(t *testing.T, text string, elem ...string) string {
	t.Helper()
	path := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func get(t *testing.T, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// tree is everything below a directory, and what is in it.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			what += " " + get(t, path)
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			what += " " + to
		}
		all[path] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func checkTree(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", dir, diff)
	}
}

// Everything is as it was after each tool came and went, in any order, and
// whatever was there before.
func TestComeAndGo(t *testing.T) {
	for name, settings := range map[string]string{
		"nothing":    "",
		"others":     "{\n\t\"hooks\": {\"Stop\": [], \"stop\": [ ]}, // mine\n}\n",
		"empty":      " ",
		"everything": "{}",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			project := filepath.Join(s.home, "code", "a b")
			repository(t, project)
			if settings != "" {
				for _, tool := range Tools() {
					for _, where := range []string{"", project} {
						if _, targets, err := s.targets(t.Context(), tool, where); err == nil && isSettings(tool) {
							put(t, settings, targets[0].path)
						}
					}
				}
			}
			if err := os.Mkdir(filepath.Join(s.home, documentsDir), 0o755); err != nil { // it stays, though nothing is in it
				t.Fatal(err)
			}
			before := tree(t, s.home)
			for _, tool := range Tools() {
				for _, where := range []string{"", project} {
					if !tool.takes(where) {
						continue
					}
					install(t, s, tool.Name, where)
					checkState(t, s, tool.Name, where, Connected)
					now := tree(t, s.home)
					if again := install(t, s, tool.Name, where); len(again.Changes) > 0 {
						t.Errorf("%s again changes %+v", tool.Name, again.Changes)
					}
					checkTree(t, s.home, now)
				}
			}
			if got := scripts(t, s); got[s.share(hookScript)] != Connected || got[s.share(gitScript)] != Connected {
				t.Errorf("scripts: %v", got)
			}
			for i, tool := range Tools() {
				for _, where := range []string{project, ""} {
					if !tool.takes(where) {
						continue
					}
					uninstall(t, s, tool.Name, where)
					checkState(t, s, tool.Name, where, None)
				}
				if got := scripts(t, s)[s.share(hookScript)]; got != Connected && i < len(Tools())-1 {
					t.Errorf("without %s the script is %s", tool.Name, got)
				}
			}
			checkTree(t, s.home, before)
		})
	}
}

func isSettings(tool Tool) bool {
	_, ok := tool.edit.(settings)
	return ok
}

// takes reports whether a tool has settings there.
func (t Tool) takes(project string) bool {
	if project == "" {
		return !t.OfProject()
	}
	return t.Name == gitName || t.project != ""
}

func TestPermissionsStay(t *testing.T) {
	s := newSetup(t)
	path := put(t, "{}\n", s.home, ".claude", "settings.json")
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o664, 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		install(t, s, "claude", "")
		if got := mustStat(t, path).Mode(); got != mode {
			t.Errorf("%v became %v", mode, got)
		}
		if got := mustStat(t, path+".before-spool-agent").Mode(); got != mode {
			t.Errorf("%v: the backup has %v", mode, got)
		}
		uninstall(t, s, "claude", "")
		if got := mustStat(t, path).Mode(); got != mode {
			t.Errorf("uninstalled, %v became %v", mode, got)
		}
	}
}

func mustStat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi
}

// A settings file that is a link into somewhere else stays one.
func TestDotfiles(t *testing.T) {
	s := newSetup(t)
	text := "{\n  \"model\": \"opus\"\n}\n"
	real := put(t, text, s.home, "dotfiles", "claude.json")
	os.Mkdir(filepath.Join(s.home, ".claude"), 0o700)
	link(t, "../dotfiles/claude.json", filepath.Join(s.home, ".claude", "settings.json"))
	put(t, "{}", s.home, "dotfiles", "codex", "hooks.json")
	link(t, "dotfiles/codex", filepath.Join(s.home, ".codex"))
	before := tree(t, s.home)

	install(t, s, "claude", "")
	install(t, s, "codex", "")
	if got := mustStat(t, filepath.Join(s.home, ".claude", "settings.json")).Mode(); got&fs.ModeSymlink == 0 {
		t.Errorf("the link became %v", got)
	}
	if got := get(t, real); !strings.Contains(got, "hook.sh") {
		t.Errorf("the linked file has %s", got)
	}
	if got := get(t, real+".before-spool-agent"); got != text {
		t.Errorf("the backup has %s", got)
	}
	uninstall(t, s, "claude", "")
	uninstall(t, s, "codex", "")
	checkTree(t, s.home, before)
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedFiles(t *testing.T) {
	s := newSetup(t)
	path := filepath.Join(s.home, ".claude", "settings.json")
	dir := filepath.Dir(path)
	fresh := func() {
		os.RemoveAll(dir)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		make func()
		want string
	}{
		"no JSON":     {func() { put(t, "{\n  oops\n}\n", path) }, path + " is not valid JSON: line 2, column 3"},
		"null hooks":  {func() { put(t, "{\"hooks\":\nnull}", path) }, path + ` has a member "hooks" that is not an object`},
		"too large":   {func() { put(t, strings.Repeat(" ", maxFile+1), path) }, "is larger than 4 MiB"},
		"read-only":   {func() { put(t, "{}", path); os.Chmod(path, 0o444) }, path + " is read-only; make it writable first"},
		"nowhere":     {func() { link(t, "../none", path) }, "is a link to nothing"},
		"in a circle": {func() { link(t, "settings.json", path) }, "too many links"},
		"directory":   {func() { os.Mkdir(path, 0o700) }, "is not a regular file"},
		"a FIFO":      {func() { syscall.Mkfifo(path, 0o600) }, "is not a regular file"},
		"a device":    {func() { link(t, "/dev/zero", path) }, "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			fresh()
			test.make()
			before := describe(t, dir)
			refused(t, s, "claude", "", test.want)
			if got := describe(t, dir); got != before {
				t.Errorf("%s became %s", before, got)
			}
		})
	}
	if _, err := os.Lstat(s.share(hookScript)); err == nil || len(scripts(t, s)) > 0 {
		t.Errorf("the script is there, though nothing was connected: %v", scripts(t, s))
	}

	os.RemoveAll(dir)
	link(t, "none", dir)
	refused(t, s, "claude", "", "is a link to nothing")
}

// describe is what is in a directory, without reading it.
func describe(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		info, _ := e.Info()
		all = append(all, fmt.Sprint(e.Name(), info.Mode(), info.Size(), info.ModTime().UnixNano()))
	}
	return strings.Join(all, ", ")
}

// A huge file is a file.
func TestHuge(t *testing.T) {
	s := newSetup(t)
	text := "{\n  \"notes\": [\n" + strings.Repeat("    \"a line of many, of many\",\n", 120_000) + "    \"\"\n  ]\n}\n"
	path := put(t, text, s.home, ".gemini", "settings.json")
	install(t, s, "gemini", "")
	checkState(t, s, "gemini", "", Connected)
	uninstall(t, s, "gemini", "")
	if get(t, path) != text {
		t.Error("it is not what it was")
	}
}

// A cloned repository may have links in it that lead anywhere.
func TestProjectStaysInside(t *testing.T) {
	s := newSetup(t)
	project := filepath.Join(s.home, "project")
	outside := put(t, "{}\n", s.home, "outside", "settings.json")
	os.Mkdir(project, 0o700)

	link(t, "../outside", filepath.Join(project, ".claude"))
	refused(t, s, "claude", project, "leads out of its project")
	os.Mkdir(filepath.Join(project, ".gemini"), 0o700)
	link(t, outside, filepath.Join(project, ".gemini", "settings.json"))
	refused(t, s, "gemini", project, "leads out of its project")
	link(t, s.home, filepath.Join(project, ".opencode"))
	refused(t, s, "opencode", project, "leads out of its project")
	if got := get(t, outside); got != "{}\n" {
		t.Errorf("outside became %s", got)
	}
	// One that stays inside is none of our business.
	put(t, "{}\n", project, "tools", "cursor", "hooks.json")
	link(t, "tools/cursor", filepath.Join(project, ".cursor"))
	install(t, s, "cursor", project)
	checkState(t, s, "cursor", project, Connected)
}

// The first change makes a backup, in place of an earlier one.
func TestBackups(t *testing.T) {
	s := newSetup(t)
	path := put(t, "{\"a\": 1}\n", s.home, ".claude", "settings.json")
	backup := path + ".before-spool-agent"
	check := func(want string) {
		t.Helper()
		if p := install(t, s, "claude", ""); p.Changes[len(p.Changes)-1].Backup != backup || get(t, backup) != want {
			t.Errorf("the backup is %q: %s", p.Changes[len(p.Changes)-1].Backup, get(t, backup))
		}
	}
	check("{\"a\": 1}\n")
	// Somebody changes the file, so that uninstalling cannot take the backup.
	put(t, strings.Replace(get(t, path), "1", "2", 1), path)
	uninstall(t, s, "claude", "")
	if got, want := get(t, path), "{\"a\": 2}\n"; got != want {
		t.Errorf("uninstalled, it is %s, want %s", got, want)
	}
	check("{\"a\": 2}\n")
	uninstall(t, s, "claude", "")
	if got, want := get(t, path), "{\"a\": 2}\n"; got != want {
		t.Errorf("uninstalled again, it is %s, want %s", got, want)
	}
	if _, err := os.Lstat(backup); err == nil {
		t.Error("the backup is still there, though the file is the same")
	}
}

// If the file changes between the plan and its execution, nothing is lost.
func TestChangedMeanwhile(t *testing.T) {
	s := newSetup(t)
	path := put(t, "{}\n", s.home, ".claude", "settings.json")
	for name, change := range map[string]func(){
		"edited":  func() { put(t, "{\"new\": 1}\n", path) },
		"removed": func() { os.Remove(path) },
		"a link":  func() { os.Rename(path, path+".moved"); link(t, "settings.json.moved", path) },
	} {
		put(t, "{}\n", path)
		p, err := s.Install(t.Context(), tool(t, "claude"), "")
		if err != nil {
			t.Fatal(err)
		}
		change()
		before := tree(t, filepath.Dir(path))
		if err := p.Apply(); err == nil || !strings.Contains(err.Error(), "was changed by somebody else") {
			t.Errorf("%s: %v", name, err)
		}
		after := tree(t, filepath.Dir(path))
		delete(after, path+".before-spool-agent")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
		os.RemoveAll(filepath.Dir(path))
	}
	p, err := s.Install(t.Context(), tool(t, "claude"), "")
	if err != nil {
		t.Fatal(err)
	}
	put(t, "{}\n", path) // it was not there
	if err := p.Apply(); err == nil || get(t, path) != "{}\n" {
		t.Errorf("a new file: %v", err)
	}
}

// A newer version replaces what an older one, or one elsewhere, has installed.
func TestOutdated(t *testing.T) {
	for _, text := range append(slices.Clone(earlier), command("linux", "/usr/bin/spool-hook", "claude")) {
		s := newSetup(t)
		quoted := string(hujson.String(text))
		old := "{\n  \"hooks\": {\n    \"Stop\": [{\"hooks\": [{\"type\": \"command\", \"command\": " + quoted + ", \"async\": true}]}]\n  }\n}\n"
		path := put(t, old, s.home, ".claude", "settings.json")
		put(t, "#!/bin/sh\nold\n", s.share(hookScript))
		put(t, "an old program", s.share(hookProgram))
		checkState(t, s, "claude", "", Outdated)
		for _, name := range []string{hookScript, hookProgram} {
			if got := scripts(t, s)[s.share(name)]; got != Outdated {
				t.Errorf("%s is %s", name, got)
			}
		}
		install(t, s, "claude", "")
		checkState(t, s, "claude", "", Connected)
		if got := get(t, s.share(hookScript)) + get(t, s.share(hookProgram)); got != hookText+programText {
			t.Errorf("the script and the program are %s", got)
		}
		if got := get(t, path); strings.Count(got, "hook.sh") != len(tool(t, "claude").edit.(settings).events) || strings.Contains(got, "async") {
			t.Errorf("the settings are %s", got)
		}
		if got := tree(t, filepath.Dir(path)); len(got) != 2 { // a backup is of what others had
			t.Errorf("beside it: %v", got)
		}
		put(t, old, path)
		uninstall(t, s, "claude", "")
		if got := get(t, path); strings.Contains(got, "hook") {
			t.Errorf("the settings are %s", got)
		}
	}
}

func installThen(t *testing.T, s *Setup, tool Tool, project, then string) *Plan {
	t.Helper()
	tool, err := tool.Then(then)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Install(t.Context(), tool, project)
	if err == nil {
		err = p.Apply()
	}
	if err != nil {
		t.Fatalf("installing %s with %q: %v", tool.Name, then, err)
	}
	return p
}

// The hooks at the ends of a turn run another command, until the tool is
// disconnected: then everything is as it was.
func TestInstallThen(t *testing.T) {
	const one, two = `agent drain -- sh "$HOME/it's.sh" \ <é>`, "notify"
	for _, before := range []string{"", "{}", "{\n\t\"hooks\": {\"Stop\": [], \"stop\": [ ]}, // mine\n}\n",
		`{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"mine"}]}],"stop":[{"command":"mine"}]}}`} {
		for _, tool := range Tools() {
			edit, _ := tool.edit.(settings)
			ends := slices.DeleteFunc(slices.Clone(edit.events), func(e event) bool { return e.then == 0 })
			if len(ends) == 0 {
				if _, err := tool.Then(one); err == nil {
					t.Errorf("%s can run a command", tool.Name)
				}
				continue
			}
			for _, project := range []string{"", "project"} {
				if !tool.takes(project) {
					continue
				}
				s := newSetup(t)
				if project != "" {
					project = filepath.Join(s.home, "code", project)
					os.MkdirAll(project, 0o700)
				}
				_, targets, err := s.targets(t.Context(), tool, project)
				if err != nil {
					t.Fatal(err)
				}
				path := targets[0].path
				if before != "" {
					put(t, before, path)
				}
				all := tree(t, s.home)
				check := func(want string, p *Plan, changed bool) {
					t.Helper()
					checkState(t, s, tool.Name, project, Connected)
					data := get(t, path)
					if _, got, _ := edit.look([]byte(data)); got != want || (len(p.Changes) > 0) != changed {
						t.Errorf("%s runs %q, want %q; changes %v", tool.Name, got, want, p.Changes)
					}
					if want == "" {
						return
					}
					if n := strings.Count(data, string(hujson.String(withThen(edit.command(), want)))); n != len(ends) || n == 0 {
						t.Errorf("%s: %d events run it, want %d:\n%s", tool.Name, n, len(ends), data)
					}
					if !slices.ContainsFunc(p.Notes, func(note string) bool { return strings.HasSuffix(note, want) }) {
						t.Errorf("%s: notes %q do not tell of it", tool.Name, p.Notes)
					}
				}
				check(one, installThen(t, s, tool, project, one), true)
				check(one, install(t, s, tool.Name, project), false)
				uninstall(t, s, tool.Name, project)
				checkTree(t, s.home, all)

				check("", install(t, s, tool.Name, project), true)
				check(one, installThen(t, s, tool, project, one), true)
				check(two, installThen(t, s, tool, project, two), true)
				put(t, strings.Replace(get(t, path), "spool-hook", "older/spool-hook", 2), path)
				checkState(t, s, tool.Name, project, Outdated)
				check(two, install(t, s, tool.Name, project), true)
				uninstall(t, s, tool.Name, project)
				checkTree(t, s.home, all)
			}
		}
	}
}

// A tool that has lost one of its hooks is connected again.
func TestPartly(t *testing.T) {
	s := newSetup(t)
	install(t, s, "claude", "")
	path := filepath.Join(s.home, ".claude", "settings.json")
	doc, err := parse([]byte(get(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	doc.remove(memberOf(&doc.root, "hooks"), 2)
	put(t, string(doc.bytes()), path)
	checkState(t, s, "claude", "", Outdated)
	install(t, s, "claude", "")
	checkState(t, s, "claude", "", Connected)
}

// A plugin of somebody else with our plugin's name is theirs.
func TestPluginOfOthers(t *testing.T) {
	s := newSetup(t)
	path := put(t, "// mine\nexport default {}\n", s.home, ".config", "opencode", "plugins", "spool-agent.js")
	refused(t, s, "opencode", "", "is not the spool agent's")
	if _, err := s.Uninstall(t.Context(), tool(t, "opencode"), ""); err == nil {
		t.Error("it was uninstalled")
	}
	first, _, _ := strings.Cut(plugin, "\n")
	put(t, first+"\nold\n", path)
	checkState(t, s, "opencode", "", Outdated)
	install(t, s, "opencode", "")
	checkState(t, s, "opencode", "", Connected)
	if got := get(t, path); got != plugin {
		t.Error("it is not our plugin")
	}
}

// The places that the tools' own variables name.
func TestPlaces(t *testing.T) {
	s := newSetup(t)
	other := t.TempDir()
	t.Setenv("CLAUDE_CONFIG_DIR", filepath.Join(other, "claude"))
	t.Setenv("CODEX_HOME", filepath.Join(other, "codex"))
	t.Setenv("GEMINI_CLI_HOME", other)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(other, "config"))
	for name, want := range map[string]string{
		"claude":   filepath.Join(other, "claude", "settings.json"),
		"codex":    filepath.Join(other, "codex", "hooks.json"),
		"gemini":   filepath.Join(other, ".gemini", "settings.json"),
		"cursor":   filepath.Join(s.home, ".cursor", "hooks.json"),
		"opencode": filepath.Join(other, "config", "opencode", "plugins", "spool-agent.js"),
	} {
		if got := s.Check(t.Context(), tool(t, name), "").File; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	t.Setenv("CODEX_HOME", "relative")
	if got := s.Check(t.Context(), tool(t, "codex"), "").File; got != filepath.Join(s.home, ".codex", "hooks.json") {
		t.Errorf("a relative CODEX_HOME: %s", got)
	}
}

// A connection that was made by hand keeps the script; one whose project is
// gone does not.
func TestScriptsGoWithTheLast(t *testing.T) {
	s := newSetup(t)
	project := filepath.Join(s.home, "project")
	os.Mkdir(project, 0o700)
	install(t, s, "gemini", project)
	install(t, s, "claude", "")
	byHand := put(t, tool(t, "codex").Fragment(), s.home, ".codex", "hooks.json")
	os.RemoveAll(project)
	uninstall(t, s, "claude", "")
	if got := scripts(t, s)[s.share(hookScript)]; got != Connected {
		t.Errorf("by hand: the script is %s", got)
	}
	os.Remove(byHand)
	uninstall(t, s, "claude", "")
	if _, err := os.Lstat(s.share("")); err == nil {
		t.Errorf("left: %v", tree(t, s.home))
	}
}

func TestNothingToUninstall(t *testing.T) {
	s := newSetup(t)
	put(t, "{\"hooks\": {}}", s.home, ".claude", "settings.json")
	before := tree(t, s.home)
	for _, tool := range Tools() {
		if tool.takes("") {
			if p := uninstall(t, s, tool.Name, ""); len(p.Changes) > 0 {
				t.Errorf("%s: %+v", tool.Name, p.Changes)
			}
		}
	}
	checkTree(t, s.home, before)
}

// Several at once, in one process or in many: one of them does it, the others
// find it done or say that they were too late. The file is whole, and so is
// the backup.
func TestAtOnce(t *testing.T) {
	s := newSetup(t)
	text := "{\n  \"model\": \"opus\"\n}\n"
	path := put(t, text, s.home, ".claude", "settings.json")
	for range 20 {
		results := make(chan error)
		for range 8 {
			go func() {
				p, err := s.Install(t.Context(), tool(t, "claude"), "")
				if err == nil {
					err = p.Apply()
				}
				results <- err
			}()
		}
		done := 0
		for range 8 {
			err := <-results
			if err == nil {
				done++
			} else if !strings.Contains(err.Error(), "by somebody else in this moment; try again") {
				t.Errorf("%v", err)
			}
		}
		if done == 0 {
			t.Error("nobody has done it")
		}
		checkState(t, s, "claude", "", Connected)
		uninstall(t, s, "claude", "")
		if got := get(t, path); got != text {
			t.Fatalf("it is %q", got)
		}
		if got := tree(t, filepath.Dir(path)); len(got) != 2 {
			t.Fatalf("left: %v", got)
		}
	}
}

func TestTwoScopes(t *testing.T) {
	s := newSetup(t)
	project := filepath.Join(s.home, "project")
	os.Mkdir(project, 0o700)
	if p := install(t, s, "cursor", project); len(p.Notes) > 0 {
		t.Errorf("notes: %q", p.Notes)
	}
	uninstall(t, s, "cursor", project)
	install(t, s, "cursor", "")
	if p := install(t, s, "cursor", project); len(p.Notes) != 1 {
		t.Errorf("notes: %q", p.Notes)
	}
}

// scripts are what the hooks run, and whether it is in place.
func scripts(t *testing.T, s *Setup) map[string]State {
	t.Helper()
	states := map[string]State{}
	for name, text := range s.scripts {
		if data, err := os.ReadFile(s.share(name)); err == nil && string(data) == text {
			states[s.share(name)] = Connected
		} else if err == nil {
			states[s.share(name)] = Outdated
		}
	}
	return states
}

// connections are the tools that are, or were and are gone.
func connections(t *testing.T, s *Setup) []Connection {
	t.Helper()
	return slices.DeleteFunc(s.Connections(t.Context(), ""), func(c Connection) bool { return c.State == None && c.Err == nil })
}

// What is connected is known wherever it is, and only its scripts are missed.
func TestConnections(t *testing.T) {
	s := newSetup(t)
	project, repository := filepath.Join(s.home, "p"), filepath.Join(s.home, "r")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("git", "init", "-q", repository).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	check := func(after string, connected string, names ...string) {
		t.Helper()
		all := connections(t, s)
		var got []string
		for _, c := range all {
			where, err := filepath.Rel(s.home, c.Project)
			if c.Project == "" || err != nil {
				where = "-"
			}
			got = append(got, c.Tool.Name+" "+where+" "+string(c.State))
		}
		if text := strings.Join(got, ", "); text != connected {
			t.Errorf("%s: %q is connected, want %q", after, text, connected)
		}
		states := scripts(t, s)
		for _, name := range names {
			if state := states[s.share(name)]; state != Connected {
				t.Errorf("%s: %s is %q", after, name, state)
			}
		}
		if len(states) != len(names) {
			t.Errorf("%s: it runs %v, want %v", after, states, names)
		}
	}
	all := []string{hookProgram, hookScript, gitScript}
	check("nothing", "")
	install(t, s, "opencode", "")
	check("a plugin", "opencode - yes", all...)
	install(t, s, "claude", project)
	check("a project", "claude p yes, opencode - yes", all...)
	install(t, s, gitName, repository)
	check("a repository", "claude p yes, opencode - yes, git r yes", all...)
	install(t, s, "claude", "")
	check("the user", "claude - yes, claude p yes, opencode - yes, git r yes", all...)
	err := errors.Join(os.Remove(filepath.Join(repository, ".git", "hooks", "post-merge")), os.RemoveAll(project))
	if err != nil {
		t.Fatal(err)
	}
	check("changes by others", "claude - yes, opencode - yes, git r outdated", all...)
	if err := os.Remove(s.share(gitScript)); err != nil {
		t.Fatal(err)
	}
	check("a script is missing", "claude - outdated, opencode - outdated, git r outdated", hookProgram, hookScript)
}
