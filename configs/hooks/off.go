package hooks

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/tailscale/hujson"
)

// A blocker is a setting with which a tool runs none of our hooks.
type blocker struct {
	file  string // beside the tool's own settings, or absolute
	names []string
	value any
}

// managed are the settings of Claude Code that an administrator makes.
var managed = map[string]string{
	"darwin":  "/Library/Application Support/ClaudeCode/managed-settings.json",
	"windows": `C:\Program Files\ClaudeCode\managed-settings.json`,
}

func managedSettings() string {
	if path, ok := managed[runtime.GOOS]; ok {
		return path
	}
	return "/etc/claude-code/managed-settings.json"
}

// off says what keeps the hooks in a tool's settings from running. What cannot be
// read is taken for not there: the tool itself complains of it.
func (s *Setup) off(t Tool, project, file string) string {
	dirs := []string{}
	if t.home != nil {
		dirs = append(dirs, t.home(s.home))
	}
	if project != "" {
		dirs = append(dirs, filepath.Join(project, t.project))
	}
	for _, b := range t.blockers {
		for _, dir := range dirs {
			path := b.file
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			if value := at(load(path), b.names...); value == b.value {
				return fmt.Sprintf("%s = %v in %s", strings.Join(b.names, "."), value, path)
			}
		}
	}
	if t.Name == "codex" {
		return s.untrusted(t, project, file)
	}
	return ""
}

// untrusted says what Codex has to be told before it runs the hooks in a file:
// that the project is trusted, and that each hook is.
func (s *Setup) untrusted(t Tool, project, file string) string {
	path := filepath.Join(t.home(s.home), "config.toml")
	config := load(path)
	if project != "" && at(config, "projects", project, "trust_level") != "trusted" {
		return "Codex does not trust the project: start it there, and say that you do"
	}
	data, _, err := read(file)
	if err != nil {
		return ""
	}
	d, err := parse(data)
	if err != nil {
		return ""
	}
	edit := t.edit.(settings)
	hooks, _, err := edit.hooksOf(d)
	if err != nil || hooks == nil {
		return ""
	}
	for _, f := range edit.finds(hooks) {
		name := nameOf(hooks.Value.(*hujson.Object).Members[f.event])
		key := fmt.Sprintf("%s:%s:%d:%d", file, snake(name), f.group, f.hook)
		if hash, _ := at(config, "hooks", "state", key, "trusted_hash").(string); hash == "" {
			return fmt.Sprintf("Codex does not trust the hook of %s: type /hooks in it", name)
		}
		if at(config, "hooks", "state", key, "enabled") == false {
			return fmt.Sprintf("the hook of %s is off: type /hooks in Codex", name)
		}
	}
	return ""
}

// snake spells PostToolUse as post_tool_use.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// load is what a file of JSON, with comments, or of TOML has; nil if it has neither.
func load(path string) (v any) {
	data, _, err := read(path)
	if err != nil {
		return nil
	}
	if filepath.Ext(path) == ".toml" {
		var table map[string]any
		if toml.Unmarshal(data, &table) != nil {
			return nil
		}
		return table
	}
	d, err := parse(data)
	if err != nil {
		return nil
	}
	d.root.Standardize()
	if json.Unmarshal(d.root.Pack(), &v) != nil {
		return nil
	}
	return v
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
