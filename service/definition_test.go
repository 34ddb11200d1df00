package service

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// odd has what some format gives a meaning to.
var odd = Spec{
	Binary: `/home/jo the 2nd/50%/${HOME}/ö<&>/agent`,
	Args:   []string{"run", "--service", "--config", `/a "b" 'c' \d\ $e %h;`, ";", "", "{{Path}}"},
	Env:    map[string]string{"XDG_STATE_HOME": `/st & "q" \ %h $HOME`, "A1": "b"},
}

var simple = Spec{Binary: "/usr/local/bin/agent", Args: []string{"run", "--service"}}

// forTasks is a spec without what a task cannot have.
func forTasks(s Spec) Spec {
	s.Env = nil
	if s.Binary == simple.Binary {
		s.Binary = `C:\Program Files\spool agent\agent.exe`
	}
	return s
}

var formats = []struct {
	name   string
	make   func(Spec) (string, error)
	binary func(string) string
}{
	{"service", systemdUnit, nil},
	{"plist", func(s Spec) (string, error) {
		return launchdPlist(s, "/Users/jo & co/Library/Logs/spool-agent/agent.log")
	}, plistBinary},
	{"xml", func(s Spec) (string, error) { return taskXML(forTasks(s), `PC\jo & co`, strconv.Quote) }, taskBinary},
}

func TestGolden(t *testing.T) {
	for _, f := range formats {
		for name, spec := range map[string]Spec{"simple": simple, "odd": odd} {
			got, err := f.make(spec)
			if err != nil {
				t.Fatal(err)
			}
			got = strings.ReplaceAll(got, "\r\n", "\n")
			golden := filepath.Join("testdata", name+"."+f.name)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		}
	}
}

// Whatever the path is, a definition is refused, or says that path.
func TestBinaryComesBack(t *testing.T) {
	for _, f := range formats {
		if f.binary == nil {
			continue // systemd says itself what it starts
		}
		t.Run(f.name, rapid.MakeCheck(func(t *rapid.T) {
			path := "/" + rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`)).Draw(t, "path")
			spec := Spec{Binary: path, Args: []string{"run"}}
			text, err := f.make(spec)
			if err != nil {
				return
			}
			if f.name == "xml" && (strings.Contains(path, `"`) || strings.HasSuffix(path, `\`)) {
				return // there are no such programs on Windows
			}
			if got := f.binary(text); got != path {
				t.Errorf("is %q, want %q", got, path)
			}
		}))
	}
}

func TestRefused(t *testing.T) {
	for name, spec := range map[string]Spec{
		"line feed": {Binary: "/a\nb"},
		"not UTF-8": {Binary: "/a\xff"},
		"control":   {Binary: "/a\x1b[31m"},
		"argument":  {Binary: "/a", Args: []string{"a\nExecStartPre=/bin/sh"}},
		"NUL":       {Binary: "/a", Args: []string{"\x00"}},
		"not XML":   {Binary: "/a\ufffe"},
		"value":     {Binary: "/a", Env: map[string]string{"A": "b\nc"}},
	} {
		for _, f := range formats {
			if f.name == "xml" && (spec.Env != nil || spec.Binary == "/a" && spec.Args == nil) {
				continue // refused for having variables at all
			}
			if text, err := f.make(spec); err == nil {
				t.Errorf("%s %s is not refused:\n%s", f.name, name, text)
			}
		}
	}
	for _, path := range []string{`/a"b`, `/a'b`, `/a\b`} {
		if _, err := systemdUnit(Spec{Binary: path}); err == nil {
			t.Errorf("%s is not refused, and systemd would ignore the line", path)
		}
	}
	if _, err := taskXML(Spec{Binary: "/a", Env: map[string]string{"A": "b"}}, "u", strconv.Quote); err == nil {
		t.Error("a task with variables is not refused, and they would be lost")
	}
}

func TestUTF16(t *testing.T) {
	text := "a ö \U0001f600\r\n"
	data := utf16Text(text)
	if data[0] != 0xff || data[1] != 0xfe || data[2] != 'a' || data[3] != 0 {
		t.Errorf("begins with % x", data[:4])
	}
	if got := fromUTF16(data); got != text {
		t.Errorf("comes back as %q", got)
	}
	fromUTF16(data[:3]) // half a file
}
