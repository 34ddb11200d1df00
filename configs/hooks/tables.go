package hooks

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// tables edits a tool's settings in TOML, in which each hook is a table of the
// array "hooks". Ours come at the end, where they are in nobody's table.
type tables struct {
	source string // the tool's name
	events []string
}

// tableOfHook is one, up to its first empty line or comment.
var tableOfHook = lazy(`(?m)^\[\[hooks\]\]\n(?:[^\n\[#].*\n)*`)

// split takes our tables out of a file.
func (t tables) split(data []byte) (ours, rest string) {
	rest = tableOfHook().ReplaceAllStringFunc(string(data), func(table string) string {
		var is struct{ Hooks []struct{ Command string } }
		if err := toml.Unmarshal([]byte(table), &is); err != nil || len(is.Hooks) == 0 {
			return table
		}
		if _, installed := parseOurs(is.Hooks[0].Command); !installed {
			return table
		}
		ours += table
		return ""
	})
	return ours, rest
}

// text is what belongs at the end of the file.
func (t tables) text() (text string) {
	for _, name := range t.events {
		text += fmt.Sprintf("[[hooks]]\nevent = %q\ncommand = %s\ntimeout = 5\n", name, quoted(command(runtime.GOOS, program(), t.source)))
	}
	return text
}

func (t tables) state(data []byte) (State, error) {
	var ignored any
	if err := toml.Unmarshal(data, &ignored); err != nil {
		return None, fmt.Errorf("is not valid TOML: %w; fix it first", err)
	}
	switch ours, _ := t.split(data); ours {
	case "":
		return None, nil
	case t.text():
		return Connected, nil
	}
	return Outdated, nil
}

func (t tables) connect(data []byte) ([]byte, error) {
	state, err := t.state(data)
	if err != nil || state == Connected {
		return data, err
	}
	_, rest := t.split(data)
	if rest != "" && !strings.HasSuffix(rest, "\n") {
		rest += "\n"
	}
	made := []byte(rest + t.text())
	if state, err := t.state(made); err != nil || state != Connected {
		return nil, errors.New("could not be edited; 'agent hooks print' shows what belongs into it")
	}
	return made, nil
}

func (t tables) disconnect(data []byte) ([]byte, error) {
	_, rest := t.split(data)
	return []byte(rest), nil
}
