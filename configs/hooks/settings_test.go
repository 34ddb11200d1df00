package hooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/tailscale/hujson"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files of the zoo")

// Three small tools, so that the golden files can be read.
var (
	nested = settings{source: "claude", form: groupForm, events: append(on(5, "PostToolUse"), ends(5, 60, "Stop")...)}
	flat   = settings{source: "claude", version: 1, form: `{"command": COMMAND, "timeout": SECONDS}`,
		events: append(on(5, "postToolUse"), ends(5, 60, "stop")...)}
	named = settings{source: "claude", under: "spool-agent", form: hookForm,
		events: append([]event{{"PostToolUse", 5, 0, `{"matcher": "*", "hooks": [` + hookForm + `]}`}}, ends(5, 60, "Stop")...)}
)

// installed is the command of all.
var installed = nested.command()

// short stands for the command in the golden files.
const short = "COMMAND"

func shorten(data []byte) []byte {
	return bytes.ReplaceAll(data, hujson.String(installed), hujson.String(short))
}

func lengthen(data []byte) []byte {
	return bytes.ReplaceAll(data, hujson.String(short), hujson.String(installed))
}

// The zoo: settings files as people have them, and what becomes of them. Each
// comes with its line feeds as they are and as CRLF.
func TestZoo(t *testing.T) {
	files, err := filepath.Glob("testdata/zoo/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no zoo", err)
	}
	for _, path := range files {
		ar, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		edit := nested
		switch name := filepath.Base(path); {
		case strings.HasPrefix(name, "flat"):
			edit = flat
		case strings.HasPrefix(name, "named"):
			edit = named
		}
		// A file in an archive ends in a line feed; one of these does not.
		before := ar.Files[0].Data
		noFeed := strings.Contains(path, "no_line_feed")
		if noFeed {
			before = bytes.TrimSuffix(before, []byte("\n"))
		}
		before = lengthen(before)
		if *update {
			after, err := edit.connect(before)
			if err != nil {
				t.Fatal(path, err)
			}
			if after = shorten(after); noFeed {
				after = append(after, '\n')
			}
			ar.Files = append(ar.Files[:1], txtar.File{Name: "after", Data: after})
			if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want := ar.Files[1].Data
		if noFeed {
			want = bytes.TrimSuffix(want, []byte("\n"))
		}
		want = lengthen(want)

		for name, form := range map[string]func([]byte) []byte{
			"LF":   func(b []byte) []byte { return b },
			"CRLF": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) },
		} {
			if name == "CRLF" && !bytes.Contains(before, []byte("\n")) {
				continue // there is nothing to tell it from
			}
			t.Run(filepath.Base(path)+"/"+name, func(t *testing.T) {
				before, want := form(before), form(want)
				after, err := edit.connect(before)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), string(after)); diff != "" {
					t.Errorf("connected (-want +got):\n%s", diff)
				}
				checkConnected(t, edit, before, after)
			})
		}
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkConnected checks what holds for every file that could be connected.
func checkConnected(t fataler, edit settings, before, after []byte) {
	t.Helper()
	if state, err := edit.state(after); err != nil || state != Connected {
		t.Fatalf("connected, the state is %s, %v:\n%s", state, err, after)
	}
	again, err := edit.connect(after)
	if err != nil || !bytes.Equal(again, after) {
		t.Fatalf("connecting twice, %v:\n%s\n%s", err, after, again)
	}
	if got, want := others(t, edit, after), others(t, edit, before); !reflect.DeepEqual(got, want) {
		t.Fatalf("what is not ours has changed (-before +after):\n%s", cmp.Diff(want, got))
	}
	without, err := edit.disconnect(after)
	if err != nil {
		t.Fatalf("disconnecting: %v", err)
	}
	if state, err := edit.state(without); err != nil || state != None {
		t.Fatalf("disconnected, the state is %s, %v:\n%s", state, err, without)
	}
	if got, want := others(t, edit, without), others(t, edit, before); !reflect.DeepEqual(got, want) {
		t.Fatalf("disconnected, what is not ours has changed (-before +after):\n%s", cmp.Diff(want, got))
	}
	// Comments stay, and their order.
	if got, want := remarks(t, after), remarks(t, before); !slices.Equal(got, want) {
		t.Fatalf("comments are %q, were %q", got, want)
	}
	if got, want := remarks(t, without), remarks(t, before); !slices.Equal(got, want) {
		t.Fatalf("disconnected, comments are %q, were %q", got, want)
	}
	// Also the layout, unless there was something of ours in it before, or a comment, an
	// array or object with nothing in it, or a comma after the last item.
	if state, _ := edit.state(before); state == None && !loose(before) && len(remarks(t, before)) == 0 {
		if edit.version > 0 && !bytes.Contains(before, []byte(`"version"`)) {
			return // it stays
		}
		if !bytes.Equal(without, before) {
			t.Fatalf("connected and disconnected:\n%q\nwas\n%q", without, before)
		}
	}
}

// loose reports whether there is a pair of brackets with nothing in it, or a
// comma before a bracket.
func loose(data []byte) bool {
	v, err := hujson.Parse(append(slices.Clip(data), '\n'))
	if err != nil {
		return true
	}
	for v := range v.All() {
		items, tail := itemsOf(v)
		if tail != nil && (len(items) == 0 || *items[len(items)-1].after != nil) {
			return true
		}
	}
	return false
}

// others is what a document means without our hooks, and without the version
// of a format and what is empty among the hooks: these come with our hooks, or go.
func others(t fataler, edit settings, data []byte) any {
	t.Helper()
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	plain, err := hujson.Standardize(append(slices.Clip(data), '\n'))
	var root map[string]any
	if err == nil {
		err = json.Unmarshal(plain, &root)
	}
	if err != nil {
		t.Fatalf("%v:\n%s", err, data)
	}
	if edit.version > 0 && root["version"] == float64(edit.version) {
		delete(root, "version")
	}
	ours := func(v any) bool {
		m, _ := v.(map[string]any)
		text, _ := m["command"].(string)
		_, ours := parseOurs(text)
		return ours
	}
	hooks, _ := root[edit.member()].(map[string]any)
	for name, v := range hooks {
		groups, ok := v.([]any)
		if !ok {
			continue
		}
		groups = slices.DeleteFunc(groups, func(v any) bool {
			group, _ := v.(map[string]any)
			list, ok := group["hooks"].([]any)
			if ok {
				list = slices.DeleteFunc(slices.Clone(list), ours)
				group["hooks"] = list
			}
			return ours(v) || ok && len(list) == 0
		})
		if hooks[name] = groups; len(groups) == 0 {
			delete(hooks, name)
		}
	}
	if len(hooks) == 0 && (root[edit.member()] == nil || hooks != nil) {
		delete(root, edit.member())
	}
	return root
}

// allOurs reports whether a group has hooks of ours and nobody else's.
func allOurs(v *hujson.Value) bool {
	list := memberOf(v, "hooks")
	if list == nil {
		return false
	}
	a, ok := list.Value.(*hujson.Array)
	return ok && len(a.Elements) > 0 && !slices.ContainsFunc(a.Elements, func(v hujson.Value) bool {
		return !isOurs(&v)
	})
}

// remarks are all comments of a document, but for those within hooks of ours.
func remarks(t fataler, data []byte) (all []string) {
	t.Helper()
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	v, err := hujson.Parse(append(slices.Clip(data), '\n'))
	if err != nil {
		t.Fatalf("%v:\n%s", err, data)
	}
	collect := func(extra hujson.Extra) {
		for len(extra) > 0 {
			switch {
			case bytes.HasPrefix(extra, []byte("//")):
				line, rest, _ := bytes.Cut(extra, []byte("\n"))
				all, extra = append(all, strings.TrimRight(string(line), " \t\r")), rest
			case bytes.HasPrefix(extra, []byte("/*")):
				end := 4 + bytes.Index(extra[2:], []byte("*/"))
				all, extra = append(all, string(extra[:end])), extra[end:]
			default:
				extra = extra[1:]
			}
		}
	}
	var walk func(v *hujson.Value)
	walk = func(v *hujson.Value) {
		collect(v.BeforeExtra)
		if isOurs(v) || allOurs(v) {
			collect(v.AfterExtra)
			return
		}
		switch c := v.Value.(type) {
		case *hujson.Object:
			for i := range c.Members {
				walk(&c.Members[i].Name)
				walk(&c.Members[i].Value)
			}
			collect(c.AfterExtra)
		case *hujson.Array:
			for i := range c.Elements {
				walk(&c.Elements[i])
			}
			collect(c.AfterExtra)
		}
		collect(v.AfterExtra)
	}
	walk(&v)
	return all
}

func TestSettingsRefused(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`[]`, `is not a JSON object; fix it first`},
		{"\n null", `is not a JSON object; fix it first`},
		{"{\n \"hooks\": null}", `has a member "hooks" that is not an object; make it {} or remove it first`},
		{"{\n \"hooks\": []}", `has a member "hooks" that is not an object; make it {} or remove it first`},
		{"{\"hooks\": {\n\"Stop\": null}}", `has hooks of "Stop" that are not an array; make them [] or remove them first`},
		{"{\"hooks\": {\"Stop\": {}}}", `has hooks of "Stop" that are not an array; make them [] or remove them first`},
		{"{\"a\": 1,\n\"a\": 2}", `is not valid JSON: duplicate object member name "a"; fix it first`},
		{"{\"hooks\": {},\n\"h\\u006foks\": {}}", `is not valid JSON: duplicate object member name "hooks"; fix it first`},
		{"{\"hooks\": {\"x\": [],\n\n\"x\": []}}", `is not valid JSON: duplicate object member name "x" within "/hooks"; fix it first`},
		{"{\n\"a\": }", `is not valid JSON: line 2, column 6: invalid character '}' at start of value; fix it first`},
		{"{", `is not valid JSON: line 2, column 1: the end is missing; fix it first`},
		{"{}\n}", `is not valid JSON: line 2, column 1: invalid character '}' after top-level value; fix it first`},
		{"\ufeff{}", `is not valid JSON: line 1, column 1: invalid character '\ufeff' at start of value; fix it first`},
		{"// nothing else", `is not valid JSON: line 2, column 1: the end is missing; fix it first`},
		{"{\n\"a\": \"\xff\"}", `is not valid JSON: invalid UTF-8 within "/a" after offset 8; fix it first`},
		{"\xff\xfe{\x00}\x00", `is not valid JSON: line 1, column 1: invalid character '\xff' at start of value; fix it first`},
		{strings.Repeat("[", maxBrackets+1), `has more than 100000 brackets; it is left alone`},
		{strings.Repeat(`{"":`, maxBrackets+1), `has more than 100000 brackets; it is left alone`},
		{strings.Repeat("[", maxBrackets), `is not valid JSON: line 2, column 1: the end is missing; fix it first`},
		{strings.Repeat("[", maxBrackets/2) + strings.Repeat("]", maxBrackets/2), `is not valid JSON: exceeded max depth`},
	} {
		got, err := nested.connect([]byte(test.text))
		if err == nil {
			t.Errorf("%.100q became %s", test.text, got)
		} else if !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%.100q:\n got %s\nwant %s", test.text, err, test.want)
		}
	}
}

// What others have, in whatever form, is no reason to refuse.
func TestSettingsOfOthers(t *testing.T) {
	for _, text := range []string{
		`{"hooks": {"Other": null, "More": {"hooks": []}, "Third": [null, 1, "x", [], {}]}}`,
		`{"hooks": {"Stop": [null, 1, "x", [], {}, {"hooks": null}, {"hooks": {}}, {"hooks": [null, 1, {}]}]}}`,
		`{"hooks": {"Stop": [{"hooks": [{"command": null}, {"command": 1}, {"command": "COMMAND "}]}]}}`,
		`{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "COMMAND; notify"}]}]}}`,
		`{"command": "COMMAND", "x": {"hooks": {"Stop": [{"hooks": [{"command": "COMMAND"}]}]}}}`,
	} {
		before := bytes.ReplaceAll([]byte(text), []byte("COMMAND"), []byte(strings.Trim(string(hujson.String(installed)), `"`)))
		if state, err := nested.state(before); state != None || err != nil {
			t.Errorf("%s: %s, %v", text, state, err)
		}
		after, err := nested.connect(before)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if without, err := nested.disconnect(after); err != nil || !bytes.Equal(without, before) {
			t.Errorf("%s: %v, became %s", text, err, without)
		}
	}
}

// A later change by somebody else stays.
func TestDisconnectAfterOthers(t *testing.T) {
	before := []byte("{\n  \"hooks\": {\n    \"Stop\": [],\n    \"Else\": []\n  }\n}\n")
	after, err := nested.connect(before)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(after, []byte("\n}\n"), []byte(",\n  \"model\": \"x\"\n}\n"), 1)
	got, err := nested.disconnect(changed)
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"hooks\": {\n    \"Else\": []\n  },\n  \"model\": \"x\"\n}\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Any document in any layout: see checkConnected.
func TestAnyDocument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edit := rapid.SampledFrom([]settings{nested, flat, named}).Draw(t, "tool")
		before := []byte(documents(edit).Draw(t, "document"))
		after, err := edit.connect(before)
		if err != nil {
			t.Fatalf("%v:\n%s", err, before)
		}
		checkConnected(t, edit, before, after)
	})
}

// documents are settings files: some of it random, some of it like hooks, some
// of it ours.
func documents(edit settings) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		w := &writer{t: t, comments: rapid.Bool().Draw(t, "comments"), wild: rapid.Bool().Draw(t, "wild"),
			newline: rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "newline"),
			indent:  rapid.SampledFrom([]string{"  ", "    ", "\t", ""}).Draw(t, "indent"),
			lines:   rapid.Bool().Draw(t, "lines")}
		hook := func() any {
			text := rapid.SampledFrom([]string{installed, earlier[1], withThen(installed, "one"), "notify", "COMMAND", installed + " "}).Draw(t, "command")
			return object{{"type", "command"}, {"command", text}, {"timeout", rapid.IntRange(1, 9).Draw(t, "timeout")}}
		}
		group := func() any {
			if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
				return w.value(2)
			}
			if edit.form != groupForm {
				return hook()
			}
			g := object{}
			if rapid.Bool().Draw(t, "matcher") {
				g = append(g, member{"matcher", "Bash|Edit"})
			}
			return append(g, member{"hooks", w.list(hook)})
		}
		hooks := object{}
		for _, name := range append([]string{"Else", "else"}, edit.events[0].name, edit.events[1].name) {
			if rapid.Bool().Draw(t, name) {
				hooks = append(hooks, member{name, w.list(group)})
			}
		}
		if rapid.Bool().Draw(t, "ours") {
			hooks = append(slices.DeleteFunc(hooks, func(m member) bool { return m.name == edit.events[0].name }),
				member{edit.events[0].name, array{raw(edit.element(edit.events[0]))}})
		}
		root := w.value(3)
		o, ok := root.(object)
		if !ok {
			o = object{}
		}
		if rapid.Bool().Draw(t, "hooks") {
			at := rapid.IntRange(0, len(o)).Draw(t, "at")
			o = slices.Insert(slices.Clone(o), at, member{edit.member(), hooks})
		}
		if edit.version > 0 && rapid.Bool().Draw(t, "version") {
			o = append(object{{"version", 1}}, o...)
		}
		w.write(o, w.newline)
		return w.extra("") + w.out.String() + w.extra("")
	})
}

// The values of a document: an object with its members in order, an array, and what
// is JSON already.
type (
	object []member
	member struct {
		name  string
		value any
	}
	array []any
	raw   string
)

// A writer writes values in a layout that is regular, or wild.
type writer struct {
	t               *rapid.T
	out             strings.Builder
	newline, indent string
	lines           bool // a line for each item
	wild, comments  bool
}

func (w *writer) list(make func() any) array {
	l := array{}
	for range rapid.IntRange(0, 3).Draw(w.t, "length") {
		l = append(l, make())
	}
	return l
}

func (w *writer) value(depth int) any {
	switch k := rapid.IntRange(0, 4).Draw(w.t, "kind"); {
	case k == 0 && depth > 0:
		o := object{}
		for i := range rapid.IntRange(0, 3).Draw(w.t, "members") {
			o = append(o, member{fmt.Sprintf("k%d", i), w.value(depth - 1)})
		}
		return o
	case k == 1 && depth > 0:
		return w.list(func() any { return w.value(depth - 1) })
	case k == 2:
		return rapid.Bool().Draw(w.t, "boolean")
	case k == 3:
		return rapid.Int().Draw(w.t, "number")
	}
	return rapid.StringOf(rapid.RuneFrom([]rune("ab \"\\/*{}[],:\n\tü日\u2028"))).Draw(w.t, "string")
}

// extra is what may stand between two tokens.
func (w *writer) extra(plain string) string {
	if !w.wild {
		return plain
	}
	pieces := []string{"", " ", "\t", w.newline, w.newline + w.indent}
	if w.comments {
		pieces = append(pieces, "/* , */", "/**/", "// ]}"+w.newline, "//"+w.newline+w.indent, "// */"+w.newline)
	}
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 3).Draw(w.t, "extra"), "")
}

func (w *writer) write(v any, line string) {
	put := func(brackets string, n int, item func(int)) {
		w.out.WriteString(brackets[:1])
		inner := ""
		if w.lines {
			inner = line + w.indent
		}
		for i := range n {
			w.out.WriteString(w.extra(inner))
			item(i)
			if i < n-1 || w.comments && rapid.Bool().Draw(w.t, "trailing") {
				w.out.WriteString(w.extra("") + ",")
			}
		}
		if w.lines && n > 0 {
			inner = line
		} else {
			inner = ""
		}
		w.out.WriteString(w.extra(inner) + brackets[1:])
	}
	switch v := v.(type) {
	case object:
		put("{}", len(v), func(i int) {
			w.write(v[i].name, "")
			w.out.WriteString(w.extra("") + ":" + w.extra(" "))
			w.write(v[i].value, line+w.indent)
		})
	case array:
		put("[]", len(v), func(i int) { w.write(v[i], line+w.indent) })
	case bool:
		fmt.Fprint(&w.out, v)
	case raw:
		w.out.WriteString(string(v))
	default:
		text, err := json.Marshal(v)
		if err != nil {
			w.t.Fatalf("%v", err)
		}
		w.out.Write(text)
	}
}

// Whatever the bytes are, nothing panics, and what can be connected is so
// properly.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"hooks": {"Stop": [{"hooks": [{"command": "x"}]}, ], /* c */ }, // d` + "\n}"))
	f.Add([]byte("\ufeff{\r\n\t\"a\": [1,\r\n2]}"))
	f.Add([]byte(`{"hooks":{"Stop":[{"hooks":[{"type":"command","command":` + string(hujson.String(earlier[1])) + `}]}]}}`))
	f.Add(lengthen([]byte(`{"version":1,"hooks":{"stop":[{"command":"COMMAND","timeout":5}]}}`)))
	f.Add(lengthen([]byte(`{"spool-agent":{"enabled":false,"Stop":[{"command":"COMMAND","timeout":5}]},"hooks":{"Stop":[]}}`)))
	f.Add([]byte("{// \"\n}"))
	f.Add([]byte(`{"hooks":{"Stop":[{"hooks":[{"command":` + string(hujson.String(withThen(installed, "it's"))) + `}]}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, edit := range []settings{nested, flat, named} {
			after, err := edit.connect(data)
			if err != nil {
				edit.disconnect(data)
				continue
			}
			checkFuzzed(t, edit, data, after)
		}
	})
}

// checkFuzzed leaves out what two parsers may see differently in odd numbers.
func checkFuzzed(t *testing.T, edit settings, before, after []byte) {
	var ignored any
	plain, err := hujson.Standardize(append(slices.Clip(before), '\n'))
	if len(bytes.TrimSpace(before)) > 0 {
		if err = errors.Join(err, json.Unmarshal(plain, &ignored)); err != nil {
			return
		}
	}
	checkConnected(t, edit, before, after)
}
