package signal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
)

func FuzzParseLine(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Line)
	}
	for _, s := range []string{
		"\u3000" + `{"\u0072ecorded_at":12 ,"cwd":"\ud83d\ude00","x":[-0.1E+5,{"y":"\ud800","y":null}]}` + "\v\n",
		`{"recorded_at":1,"cwd":"/c","tool_name":null,"tool_name":"x"}`,
		`{"recorded_at":1,"cwd":"/c","\ud800":1}`,
		`{"recorded_at":-0,"cwd":"/c"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := ParseLine(line)
		want, ok := stdParseLine(line)
		if ok != (err == nil) {
			t.Fatalf("error is %v, but accepted by encoding/json: %v", err, ok)
		}
		if err != nil {
			return
		}
		if diff := gocmp.Diff(want, s); diff != "" {
			t.Fatalf("not what encoding/json makes of it: %s", diff)
		}
		checkCanonical(t, s)
	})
}

// checkCanonical checks that a signal's line is a fixed point: it gives the same
// signal and that the same line.
func checkCanonical(t *testing.T, s Signal) {
	t.Helper()
	line := s.AppendLine(nil)
	back, err := ParseLine(line)
	if diff := gocmp.Diff(s, back); err != nil || diff != "" {
		t.Fatalf("another signal from its line: %v %s", err, diff)
	}
	if again := back.AppendLine(nil); !bytes.Equal(line, again) {
		t.Fatalf("another line from its line:\n%s\n%s", line, again)
	}
	if bytes.ContainsRune(line, '\n') {
		t.Fatalf("more than one line: %q", line)
	}
}

// stdParseLine is ParseLine by other means: encoding/json for the grammar, and
// the rules about fields written down once more.
func stdParseLine(line []byte) (Signal, bool) {
	text := bytes.TrimFunc(line, func(r rune) bool { return unicode.Is(unicode.White_Space, r) })
	if !utf8.Valid(line) || bytes.ContainsRune(text, '\n') || !json.Valid(text) || text[0] != '{' {
		return Signal{}, false
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		panic(err)
	}
	known := map[string]string{}
	for dec.More() {
		from := dec.InputOffset()
		name, err := dec.Token()
		if err != nil {
			panic(err)
		}
		if hasHalfPair(text[from:dec.InputOffset()]) {
			return Signal{}, false
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			panic(err)
		}
		switch field := name.(string); field {
		case "recorded_at", "tool_name", "cwd", "payload":
			if _, twice := known[field]; twice {
				return Signal{}, false
			}
			known[field] = string(value)
		}
	}
	ok := true
	str := func(field string) *string {
		var s *string
		raw := known[field]
		if raw == "" || raw == "null" {
			return nil
		}
		if raw[0] != '"' || hasHalfPair([]byte(raw)) || json.Unmarshal([]byte(raw), &s) != nil {
			ok = false
		}
		return s
	}
	s := Signal{ToolName: str("tool_name"), Payload: str("payload")}
	cwd := str("cwd")
	at, err := strconv.ParseUint(known["recorded_at"], 10, 64)
	if cwd == nil || err != nil || !ok {
		return Signal{}, false
	}
	s.CWD, s.RecordedAt = *cwd, at
	return s, true
}

var (
	escapes    = regexp.MustCompile(`\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u....|.)`)
	surrogates = regexp.MustCompile(`^\\u[dD][89a-fA-F]..$`)
)

// hasHalfPair reports whether a JSON string has an escaped surrogate that is
// none of a pair.
func hasHalfPair(raw []byte) bool {
	for _, e := range escapes.FindAll(raw, -1) {
		if surrogates.Match(e) {
			return true
		}
	}
	return false
}

func FuzzDecodeDrop(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Line, int64(1763852400), 0)
	}
	for _, s := range []string{
		`{"payload":"` + strings.Repeat("é😀", 100) + `"}`,
		"{\"recorded_at\":1,\"cwd\":\"/\",\"payload\":\"a\nb\"}",
		`{"hook_event_name":"PostToolUse","tool_name":"Bash","cwd":"/r","session_id":"s","tool_response":{"stdout":"` + strings.Repeat(`a\n\ud83d\ude00é\u0041`, 50) + `","list":[1,2,3,[4]]}}`,
		`{"type":"agent-turn-complete","turn-id":"1","input-messages":["` + strings.Repeat(`x\\`, 100) + `","\ud800"]}`,
		`{"hook_event_name":"AfterTool","timestamp":"2025-11-22T23:00:01.5+01:00","workspace_roots":["/r\ud83d\ude00",["/s"]],"x":"` + strings.Repeat("y", 99) + `"}`,
		`{"event":"x","working_dir":"/w","toolName":"a","agent_action_name":"b","tool_info":{"cwd":"/i","x":["\ud800"]},"cwd":""}`,
		`{"conversationId":"c","transcriptPath":"t","toolCall":{"name":"n\ud83d\ude00","name":"","args":{"x":[1]}},"workspacePaths":["/w"]}`,
		`{"sessionId":"s","toolName":"a","toolArgs":{"x":"` + strings.Repeat("y", 99) + `"},"tool_name":"","cwd":"/c","hookEventName":"h"}`,
		`{"hook_event_name":"x","` + strings.Repeat("k", 200) + `":[[[[{"a":"b"}]]]],"y":[` + strings.Repeat("1,", 99) + `1]}`,
	} {
		for _, limit := range []int{-1, 0, MinPayload, 100, 300} {
			f.Add([]byte(s), int64(-1), limit)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, unix int64, limit int) {
		o := Origin{Project: "/project", ModTime: time.Unix(unix, 0), MaxPayload: limit}
		s, err := DecodeDrop(data, o)
		o.MaxPayload = 0
		whole, wholeErr := DecodeDrop(data, o)
		if (err == nil) != (wholeErr == nil) {
			t.Fatalf("the limit makes a difference: %v, %v", err, wholeErr)
		}
		line, lineErr := ParseLine(bytes.TrimSpace(bytes.ReplaceAll(data, []byte("\n"), []byte(" "))))
		if err != nil {
			if s != (Signal{}) {
				t.Fatalf("not empty beside an error: %+v", s)
			}
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 300 {
				t.Fatalf("not one short line: %v", err)
			}
			// What a line can be, a drop can be, too, if it says anything; but
			// around it a line may have more than JSON's white space, and what
			// had a line feed within a string was no line.
			if lineErr == nil && json.Valid(data) && (line.ToolName != nil || line.Payload != nil) && len(data) > 0 && data[0] == '{' && data[len(data)-1] == '}' {
				t.Fatalf("refused, though it is a line: %v", err)
			}
			return
		}
		checkCanonical(t, s)
		if s.ToolName == nil && s.Payload == nil {
			t.Fatal("a signal without tool_name and payload")
		}
		if limit > 0 && s.Payload != nil && len(*s.Payload) > max(limit, MinPayload) {
			t.Fatalf("a payload of %d bytes with a limit of %d", len(*s.Payload), limit)
		}
		if eventOf(data) {
			checkEventPayload(t, data, *s.Payload, *whole.Payload)
			checkEventFields(t, data, s, unix)
		} else if whole.Payload != nil && len(*s.Payload) < len(*whole.Payload) && !strings.Contains(*whole.Payload, "…") {
			if err := checkMarker(*whole.Payload, *s.Payload); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// eventOf reports whether data, which is an object, is a raw event.
func eventOf(data []byte) bool {
	is := map[string]bool{}
	for _, c := range children(data) {
		is[c.name] = true
		is[c.name+" "+string(c.value[0])] = true
	}
	text := func(name string) bool { return is[name+` "`] }
	return text("hook_event_name") || text("type") && (is["turn-id"] || is["thread-id"]) ||
		!is["payload"] && !is["recorded_at"] && (text("hookEventName") || text("event") && (text("working_dir") || text("session_id")) ||
			text("hookName") && text("taskId") || text("agent_action_name") && is["tool_info {"] || text("sessionId") || text("conversationId") && text("transcriptPath") || text("toolName") && is["toolArgs"] ||
			text("tool_name") && is["tool_input"])
}

// compacted is a value without white space; with normal, its strings are spelt in
// one way, and halves of surrogate pairs are U+FFFD.
func compacted(t *testing.T, value json.RawMessage, normal bool) string {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		t.Fatal(err)
	}
	if !normal {
		return compact.String()
	}
	return quotedStrings.ReplaceAllStringFunc(compact.String(), func(quoted string) string {
		var text string
		if err := json.Unmarshal([]byte(quoted), &text); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(again)
	})
}

var quotedStrings = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func checkEventPayload(t *testing.T, data []byte, short, whole string) {
	t.Helper()
	if !json.Valid([]byte(short)) || short[0] != '{' {
		t.Fatalf("no JSON object: %q", short)
	}
	if hasHalfPair([]byte(short)) || hasHalfPair([]byte(whole)) {
		t.Fatalf("half a surrogate pair: %q", short)
	}
	// Uncut, it is the event less at most a tool_name and a cwd, in compact form,
	// and as it was spelt, if that was text.
	if whole != compacted(t, []byte(whole), false) {
		t.Fatalf("not compact: %q", whole)
	}
	normal := hasHalfPair(data)
	left := children([]byte(whole))
	taken := map[string]int{}
	for _, c := range children(data) {
		if len(left) > 0 && left[0].name == c.name && compacted(t, c.value, normal) == compacted(t, left[0].value, normal) {
			left = left[1:]
		} else {
			taken[map[string]string{"toolName": "tool_name", "working_dir": "cwd"}[c.name]+c.name]++
		}
	}
	if len(left) > 0 {
		t.Fatalf("not in the event: %q", left[0].name)
	}
	if n := taken["tool_name"] + taken["tool_nametoolName"]; n > 1 {
		t.Fatalf("%d tools are missing in %s", n, whole)
	}
	if n := taken["cwd"] + taken["cwdworking_dir"]; n > 1 {
		t.Fatalf("%d directories are missing in %s", n, whole)
	}
	for name := range taken {
		switch name {
		case "tool_name", "tool_nametoolName", "cwd", "cwdworking_dir":
		default:
			t.Fatalf("%q is missing in %s", name, whole)
		}
	}
}

// checkEventFields checks the fields that an event gives its signal, by other
// means: encoding/json, and the rules written down once more.
func checkEventFields(t *testing.T, data []byte, s Signal, unix int64) {
	t.Helper()
	at, when, cwd, dir, inTool, roots := uint64(max(0, unix)), "", "", "", "", map[string]string{}
	var tool, camel, action, call *string
	text := func(raw json.RawMessage) (s string) {
		if len(raw) > 0 && raw[0] == '"' && !hasHalfPair(raw) {
			_ = json.Unmarshal(raw, &s)
		}
		return s
	}
	for _, c := range children(data) {
		switch c.name {
		case "cwd":
			cwd = cmp.Or(text(c.value), cwd)
		case "working_dir":
			dir = cmp.Or(text(c.value), dir)
		case "tool_info":
			if c.value[0] == '{' {
				for _, c := range children(c.value) {
					if c.name == "cwd" {
						inTool = cmp.Or(text(c.value), inTool)
					}
				}
			}
		case "toolCall":
			if c.value[0] == '{' {
				for _, c := range children(c.value) {
					if name := text(c.value); c.name == "name" && name != "" {
						call = &name
					}
				}
			}
		case "tool_name":
			if name := text(c.value); name != "" {
				tool = &name
			}
		case "toolName":
			if name := text(c.value); name != "" {
				camel = &name
			}
		case "agent_action_name":
			if name := text(c.value); name != "" {
				action = &name
			}
		case "workspace_roots", "workspaceRoots", "workspacePaths":
			var list []json.RawMessage
			if json.Unmarshal(c.value, &list) == nil && len(list) > 0 {
				roots[c.name] = cmp.Or(text(list[0]), roots[c.name])
			}
		case "timestamp":
			when = cmp.Or(text(c.value), when)
		}
	}
	if when, err := time.Parse("2006-01-02T15:04:05.999999999Z07:00", when); err == nil && !when.Before(time.Unix(0, 0)) {
		at = uint64(when.Unix())
	}
	if diff := gocmp.Diff(cmp.Or(tool, camel, action, call), s.ToolName); diff != "" {
		t.Fatal(diff)
	}
	if want := cmp.Or(cwd, dir, inTool, roots["workspace_roots"], roots["workspaceRoots"], roots["workspacePaths"], "/project"); s.CWD != want || s.RecordedAt != at {
		t.Fatalf("recorded at %d in %q, want %d and %q", s.RecordedAt, s.CWD, at, want)
	}
}
