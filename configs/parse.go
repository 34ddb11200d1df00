package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// ParseConfig reads a configuration from the text of a file. It starts from
// Default and is strict: a key that does not exist, a value of the wrong type
// and one out of bounds are errors, which name the line; name stands for the
// file there. A leading ~ in projects stays as it is.
func ParseConfig(data []byte, name string) (Config, error) {
	// The keys come first: they need their lines, which decoding would lose,
	// and a document of thousands of keys takes the decoder seconds.
	keys, err := findKeys(data)
	if err != nil {
		return Config{}, fmt.Errorf("%s:%w", name, err)
	}
	var values map[string]any
	if err := toml.Unmarshal(data, &values); err != nil {
		line := 1
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, _ = at.Position()
		}
		return Config{}, fmt.Errorf("%s:%d: %s", name, line, strings.TrimPrefix(err.Error(), "toml: "))
	}
	c := Default()
	for _, k := range keys {
		if err := k.set(&c, values[k.name]); err != nil {
			return Config{}, fmt.Errorf("%s:%d: %s: %w", name, k.line, k.name, err)
		}
	}
	return c, nil
}

type key struct {
	*setting
	line int
}

// findKeys returns the settings that a document has, in its order, and an
// error for the first that does not exist. Other errors it leaves to the
// decoder, which names them better.
func findKeys(data []byte) ([]key, error) {
	var keys []key
	var p unstable.Parser
	p.Reset(data)
	line, from := 1, 0
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.KeyValue && e.Kind != unstable.Table && e.Kind != unstable.ArrayTable {
			continue
		}
		parts := e.Key()
		var path []string
		for parts.Next() {
			n := parts.Node()
			path = append(path, string(n.Data))
			at := int(n.Raw.Offset)
			line += bytes.Count(data[from:at], []byte("\n"))
			from = at
		}
		name := strings.Join(path, ".")
		if e.Kind != unstable.KeyValue {
			return nil, fmt.Errorf("%d: unknown table %q: there are no tables in this file", line, name)
		}
		s := find(path)
		if s == nil {
			return nil, fmt.Errorf("%d: unknown key %q%s", line, name, suggest(name))
		}
		keys = append(keys, key{s, line})
	}
	return keys, nil
}

func find(path []string) *setting {
	for i := range settings {
		if len(path) == 1 && path[0] == settings[i].name {
			return &settings[i]
		}
	}
	return nil
}

// suggest names the setting that was probably meant, if there is one.
func suggest(name string) string {
	if len(name) > 32 {
		return ""
	}
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	best, least := "", 3
	for _, s := range settings {
		// Half of a short name may not be changed: "top" does not mean "cap".
		if d := distance(name, s.name); d < least && 2*d < len(s.name) {
			best, least = s.name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the number of bytes to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
