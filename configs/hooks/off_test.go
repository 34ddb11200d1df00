//go:build unix

package hooks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each setting that keeps hooks from running is named, and with another value it
// is not.
func TestBlockers(t *testing.T) {
	for _, tool := range Tools() {
		for _, b := range tool.blockers {
			if b.names == nil {
				continue // see TestInItsPlace
			}
			for _, blocks := range []bool{true, false} {
				s := newSetup(t)
				path := b.file
				switch {
				case filepath.IsAbs(path):
					path = filepath.Join(s.home, "managed"+filepath.Ext(path))
				case tool.OfProject():
					path = filepath.Join(s.home, tool.project, path)
				default:
					path = filepath.Join(tool.home(s.home), path)
				}
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				var value any = b.value == blocks
				if text, ok := b.value.(string); ok {
					value = `["other"]`
					if blocks {
						value = fmt.Sprintf(`["other", %q]`, text)
					}
				}
				text := fmt.Sprintf("{%q: %v} // a comment", b.names[len(b.names)-1], value)
				if len(b.names) > 1 {
					text = fmt.Sprintf("{%q: %s\n}", b.names[0], text)
				}
				if filepath.Ext(path) == ".toml" {
					text = fmt.Sprintf("%s = %v", strings.Join(b.names, "."), value)
				}
				put(t, text, path)
				only := tool
				only.Name = "any" // without what Codex has besides
				only.blockers = []blocker{{path, b.names, b.value}}
				got := s.off(only, "", "")
				want := ""
				if blocks {
					want = fmt.Sprintf("%s = %v in %s", strings.Join(b.names, "."), b.value, path)
				}
				if got != want {
					t.Errorf("%s: off is %q, want %q", text, got, want)
				}
			}
		}
	}
}

// Another file may count in the place of the settings.
func TestInItsPlace(t *testing.T) {
	s := newSetup(t)
	install(t, s, "droid", "")
	path := put(t, "{}", s.home, ".factory", "hooks.json")
	if st := s.Check(t.Context(), tool(t, "droid"), ""); st.State != Connected || st.Off != path+" counts in its place" {
		t.Errorf("%+v", st)
	}
}

// A project's own settings count for the hooks in it. What is broken or absent
// keeps nothing from running.
func TestBlockersOfProject(t *testing.T) {
	s := newSetup(t)
	project := filepath.Join(s.home, "p")
	claude := tool(t, "claude")
	if off := s.off(claude, project, ""); off != "" {
		t.Errorf("off is %q", off)
	}
	path := put(t, `{"disableAllHooks": true}`, project, ".claude", "settings.local.json")
	if off := s.off(claude, project, ""); !strings.Contains(off, path) {
		t.Errorf("off is %q", off)
	}
	if off := s.off(claude, "", ""); off != "" {
		t.Errorf("for the user, off is %q", off)
	}
	for _, text := range []string{"{", `[]`, `{"disableAllHooks": "true"}`, `{"disableAllHooks": {}}`, "\xff"} {
		put(t, text, path)
		if off := s.off(claude, project, ""); off != "" {
			t.Errorf("%s: off is %q", text, off)
		}
	}
}

// Antigravity is connected in one project only. It ignores a file that is more than
// JSON, and our hooks where they are switched off.
func TestAntigravity(t *testing.T) {
	s := newSetup(t)
	refused(t, s, "antigravity", "", "connect them one by one, with --project DIR")
	project := filepath.Join(s.home, "p")
	for text, off := range map[string]string{
		"{\n  \"lint\": {\"enabled\": false, \"Stop\": [{\"command\": \"./lint.sh\"}]}\n}\n": "",
		"{\n  // mine\n  \"lint\": {}\n}\n":                                                  "PATH is ignored, since it has comments or trailing commas",
		"{\"lint\": {\"Stop\": [],}}":                                                        "PATH is ignored, since it has comments or trailing commas",
		`{"spool-agent": {"enabled": false}}`:                                                "spool-agent.enabled = false in PATH",
		`{"spool-agent": {"enabled": true}, "": 1}`:                                          "",
	} {
		path := put(t, text, project, ".agents", "hooks.json")
		install(t, s, "antigravity", project)
		off = strings.ReplaceAll(off, "PATH", path)
		if st := s.Check(t.Context(), tool(t, "antigravity"), project); st.State != Connected || st.Off != off || st.Err != nil {
			t.Errorf("%s\n%+v, want %q", text, st, off)
		}
		if all := connections(t, s); len(all) != 1 || all[0].Project != project || all[0].Off != off {
			t.Errorf("connections: %+v", all)
		}
		uninstall(t, s, "antigravity", project)
		if got := get(t, path); got != text {
			t.Errorf("%s\nbecame %s", text, got)
		}
	}
}

// What somebody else has taken out is gone until it is connected again or
// disconnected; what is gone with its project is forgotten.
func TestGone(t *testing.T) {
	s := newSetup(t)
	project := filepath.Join(s.home, "p")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"", project} {
		install(t, s, "gemini", where)
		dir := filepath.Join(s.home, ".gemini")
		if where != "" {
			dir = filepath.Join(where, ".gemini")
		}
		put(t, "{}\n", dir, "settings.json")
		checkState(t, s, "gemini", where, Gone)
		if all := connections(t, s); len(all) != 1 || all[0].State != Gone {
			t.Errorf("connections: %+v", all)
		}
		install(t, s, "gemini", where)
		checkState(t, s, "gemini", where, Connected)
		put(t, "{}\n", dir, "settings.json")
		uninstall(t, s, "gemini", where)
		checkState(t, s, "gemini", where, None)
	}
	install(t, s, "gemini", project)
	install(t, s, "claude", "")
	if err := os.RemoveAll(project); err != nil {
		t.Fatal(err)
	}
	if all := connections(t, s); len(all) != 1 || all[0].Tool.Name != "claude" {
		t.Errorf("connections: %+v", all)
	}
	uninstall(t, s, "claude", "")
	if _, err := os.Lstat(s.share("")); err == nil {
		t.Errorf("left: %v", tree(t, s.share("")))
	}
}
