//go:build unix

package hooks

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"spoolagent/internal/agenttest"
	"spoolagent/spoolfiles/signal"
)

// Cline runs an executable file for each event: the extension by its path, through a
// shell, the command line by the shell that its first line names. Either way it
// prints nothing, which lets the tool go on, and leaves a signal.
func TestClineRuns(t *testing.T) {
	s := newSetup(t)
	s.scripts[hookScript] = get(t, "..", "hook.sh")
	s.scripts[hookProgram] = get(t, agenttest.Hook(t))
	project := filepath.Join(s.home, "a 'b' $c")
	put(t, "", project, ".git", "HEAD")
	install(t, s, "cline", "")
	install(t, s, "cline", project)
	events := fixtures(t, tool(t, "cline"))
	for _, program := range []bool{true, false} {
		for _, dir := range []string{filepath.Join(s.home, "Documents", "Cline", "Hooks"), filepath.Join(project, ".clinerules", "hooks")} {
			for _, name := range tool(t, "cline").scripts {
				for _, argv := range [][]string{{"/bin/sh", "-c", `exec "$0"`, filepath.Join(dir, name)}, {"sh", filepath.Join(dir, name)}} {
					for _, event := range events {
						cmd := exec.Command(argv[0], argv[1:]...)
						cmd.Dir = project
						runCommand(t, cmd, event, "")
						drops, _ := filepath.Glob(filepath.Join(project, ".spool", "incoming", "*.cline.json"))
						if len(drops) != 1 {
							t.Fatalf("%s: drops %q", argv, drops)
						}
						got, err := signal.DecodeDrop([]byte(get(t, drops[0])), signal.Origin{Project: project, ModTime: time.Now(), Source: "cline"})
						if err != nil || got.CWD != "/home/u/repo" || got.Payload == nil || !strings.HasPrefix(*got.Payload, `{"spool_source":"cline",`) {
							t.Errorf("%s became %+v, %v", event, got, err)
						}
						os.Remove(drops[0])
					}
				}
			}
		}
		if program {
			os.Remove(s.share(hookProgram))
		}
	}
}

// Somebody else's script stays as it is, the other events are connected beside it, and
// what has to be done is told. A script that does so counts as connected.
func TestScriptOfOthers(t *testing.T) {
	s := newSetup(t)
	const text = "#!/usr/bin/env bash\n# for the spool\necho '{\"cancel\": false}'\n"
	dir := filepath.Join(s.home, "Documents", "Cline", "Hooks")
	theirs := put(t, text, dir, "TaskComplete")
	const left = `TaskComplete is not the spool agent's, and was left alone; have it run, with its own input:  sh "$HOME/.local/share/spool-agent/hook.sh" cline`
	before := tree(t, dir)

	p := install(t, s, "cline", "")
	if !slices.ContainsFunc(p.Notes, func(note string) bool { return strings.HasSuffix(note, left) }) {
		t.Errorf("notes: %q", p.Notes)
	}
	if st := s.Check(t.Context(), tool(t, "cline"), ""); st.State != Connected || !strings.HasSuffix(st.Off, left) || st.File != dir {
		t.Errorf("it is %+v", st)
	}
	if got := get(t, theirs); got != text {
		t.Errorf("it became %q", got)
	}
	uninstall(t, s, "cline", "")
	checkTree(t, dir, before)
	checkState(t, s, "cline", "", None)

	byHand := text + `printf %s "$event" | sh "$HOME/.local/share/spool-agent/hook.sh" cline` + "\n"
	put(t, byHand, theirs)
	before = tree(t, dir)
	if p := install(t, s, "cline", ""); len(p.Notes) > 0 {
		t.Errorf("by hand: notes %q", p.Notes)
	}
	if st := s.Check(t.Context(), tool(t, "cline"), ""); st.State != Connected || st.Off != "" {
		t.Errorf("by hand: %+v", st)
	}
	if p := uninstall(t, s, "cline", ""); len(p.Notes) != 1 || p.Notes[0] != theirs+" runs hook.sh: that is for you to take out" {
		t.Errorf("by hand: notes %q", p.Notes)
	}
	checkTree(t, dir, before)

	for _, name := range tool(t, "cline").scripts {
		put(t, text, dir, name)
	}
	refused(t, s, "cline", "", "UserPromptSubmit is not the spool agent's")
	checkState(t, s, "cline", "", None)
}

// The states of scripts of ours.
func TestScriptStates(t *testing.T) {
	s := newSetup(t)
	install(t, s, "cline", "")
	path := filepath.Join(s.home, "Documents", "Cline", "Hooks", "PostToolUse")
	ours := get(t, path)
	if mode := mustStat(t, path).Mode(); mode != 0o700 {
		t.Errorf("its mode is %v", mode)
	}
	for name, change := range map[string]func() error{
		"missing": func() error { return os.Remove(path) },
		"another path": func() error {
			return os.WriteFile(path, []byte(shebang+command("linux", "/usr/lib/spool-hook", "cline")+"\n"), 0)
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		checkState(t, s, "cline", "", Outdated)
		install(t, s, "cline", "")
		checkState(t, s, "cline", "", Connected)
		if got := get(t, path); got != ours {
			t.Errorf("%s: it is %q", name, got)
		}
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	checkState(t, s, "cline", "", Gone)
	uninstall(t, s, "cline", "")
	checkState(t, s, "cline", "", None)
}

// A project may have its rules in a file where the directory of hooks would be.
func TestRulesAreAFile(t *testing.T) {
	s := newSetup(t)
	project := filepath.Join(s.home, "p")
	put(t, "Be brief.\n", project, ".clinerules")
	before := tree(t, s.home)
	checkState(t, s, "cline", project, None)
	refused(t, s, "cline", project, "/.clinerules/hooks/UserPromptSubmit: a part of its path is not a directory")
	checkTree(t, s.home, before)
}
