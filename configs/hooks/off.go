package hooks

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A blocker is a setting with which a tool runs none of our hooks.
type blocker struct {
	file  string   // beside the tool's own settings, or absolute
	names []string // none: that the file is there
	value any      // what stands there, or is among what does
}

// off says what keeps the hooks in a tool's settings from running. What cannot be
// read is taken for not there: the tool itself complains of it.
func (s *Setup) off(t Tool, project, file string) string {
	for _, b := range t.blockers {
		for _, path := range s.settings(t, project, b.file) {
			value := at(load(path), b.names...)
			if b.names == nil && value != nil {
				return path + " counts in its place"
			}
			if list, _ := value.([]any); b.names != nil && (value == b.value || slices.Contains(list, b.value)) {
				return fmt.Sprintf("%s = %v in %s", strings.Join(b.names, "."), b.value, path)
			}
		}
	}
	if t.Name == "codex" {
		return s.untrusted(t, project, file)
	}
	if data, _, _ := read(file); t.Name == "antigravity" && !json.Valid(data) {
		return file + " is ignored, since it has comments or trailing commas"
	}
	return ""
}

// settings are the files of this name that a tool reads: the user's, the project's.
func (s *Setup) settings(t Tool, project, name string) []string {
	if filepath.IsAbs(name) {
		return []string{name}
	}
	var paths []string
	if !t.OfProject() {
		paths = append(paths, filepath.Join(t.home(s.home), name))
	}
	if project != "" {
		paths = append(paths, filepath.Join(project, t.project, name))
	}
	return paths
}

var originalHook = lazy(`\bspool-[a-z_-]+\.sh\b`)

// doubled says that a tool runs hooks of the original spool as well, or another's
// of ours; empty if not.
func (s *Setup) doubled(t Tool, project string) string {
	if t.OfRepository() {
		return ""
	}
	for _, path := range s.settings(t, project, t.file) {
		data, _, _ := read(path)
		if hook := originalHook().Find(data); hook != nil {
			return fmt.Sprintf("%s also has %s, a hook of the original spool: every event is recorded twice; take its hooks out, or: agent hooks uninstall %s", path, hook, t.Name)
		}
	}
	// Copilot CLI runs the hooks that Claude Code has in a project, too.
	if project != "" && (t.Name == "copilot" && s.has("claude", project) || t.Name == "claude" && (s.has("copilot", project) || s.has("copilot", ""))) {
		return "GitHub Copilot CLI runs Claude Code's hooks in " + project + " beside its own: every event of it is recorded twice; connect one of the two there"
	}
	return ""
}

// has reports whether a tool's settings have hooks of ours.
func (s *Setup) has(name, project string) bool {
	t, _ := Named(name)
	paths := s.settings(t, project, t.file)
	data, _, err := read(paths[len(paths)-1])
	state, serr := t.edit.state(data)
	return err == nil && serr == nil && state != None
}

// untrusted says what Codex has to be told before it runs the hooks in a file:
// that the project is trusted, and that the hooks are. It notes these by the file,
// the event and the place in it. If others have hooks there, theirs count, too.
func (s *Setup) untrusted(t Tool, project, file string) string {
	config := load(filepath.Join(t.home(s.home), "config.toml"))
	if project != "" && at(config, "projects", project, "trust_level") != "trusted" {
		return "Codex does not trust the project: start it there, and say that you do"
	}
	hooks, _ := at(config, "hooks", "state").(map[string]any)
	for _, e := range t.edit.(settings).events {
		trusted := false
		for key, hook := range hooks {
			event, _, _ := strings.Cut(strings.TrimPrefix(key, file+":"), ":") // in snake case
			_, hash := at(hook, "trusted_hash").(string)
			trusted = trusted || hash && at(hook, "enabled") != false && strings.EqualFold(strings.ReplaceAll(event, "_", ""), e.name)
		}
		if !trusted {
			return fmt.Sprintf("Codex does not trust the hook of %s: type /hooks in it", e.name)
		}
	}
	return ""
}

// load is what a file of JSON, with comments, or of TOML has; nil if it has neither.
func load(path string) (v any) {
	data, _, err := read(path)
	if err != nil {
		return nil
	}
	if filepath.Ext(path) == ".toml" {
		if toml.Unmarshal(data, &v) != nil {
			return nil
		}
		return v
	}
	if d, err := parse(data); err == nil {
		return d.meaning
	}
	return nil
}

// at is what stands under the names, one within another; nil if nothing does.
func at(v any, names ...string) any {
	for _, name := range names {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}
