package signal

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var origin = Origin{Project: "/project", ModTime: time.Unix(1763852400, 999), MaxPayload: 4096}

// decode decodes a drop and checks what holds for every signal: it comes back
// from a line as it was.
func decode(t *testing.T, drop string, o Origin) Signal {
	t.Helper()
	s, err := DecodeDrop([]byte(drop), o)
	if err != nil {
		t.Fatalf("%s: %v", drop, err)
	}
	back, err := ParseLine(s.AppendLine(nil))
	if diff := cmp.Diff(s, back); err != nil || diff != "" {
		t.Errorf("%s: another signal from its line: %v\n%s", drop, err, diff)
	}
	return s
}

func TestDecodeEvent(t *testing.T) {
	const at = 1763852400
	for _, tt := range []struct {
		name, drop string
		want       Signal
	}{
		{
			"Claude Code PostToolUse",
			`{
				"session_id": "6b0e4c1e-9d0c-4f6e-a5c3-3f4a0f3b7c11",
				"transcript_path": "/home/u/.claude/projects/-home-u-repo/6b0e4c1e.jsonl",
				"cwd": "/home/u/repo",
				"permission_mode": "default",
				"hook_event_name": "PostToolUse",
				"tool_name": "Bash",
				"tool_input": {"command": "ls -la", "timeout": 1.50},
				"tool_response": {"stdout": "total 0\n", "stderr": "", "interrupted": false, "isImage": null},
				"tool_use_id": "toolu_01"
			}` + "\n",
			Signal{at, ptr("Bash"), "/home/u/repo", ptr(`{"session_id":"6b0e4c1e-9d0c-4f6e-a5c3-3f4a0f3b7c11","transcript_path":"/home/u/.claude/projects/-home-u-repo/6b0e4c1e.jsonl","permission_mode":"default","hook_event_name":"PostToolUse","tool_input":{"command":"ls -la","timeout":1.50},"tool_response":{"stdout":"total 0\n","stderr":"","interrupted":false,"isImage":null},"tool_use_id":"toolu_01"}`)},
		},
		{
			"Cursor postToolUse, the output JSON in a string",
			`{"conversation_id":"c1","hook_event_name":"postToolUse","tool_name":"Shell","tool_input":{"command":"ls"},"tool_output":"{\"exitCode\":0,\"stdout\":\"a\\nb\"}","duration":12,"workspace_roots":["/home/u/repo"]}`,
			Signal{at, ptr("Shell"), "/home/u/repo", ptr(`{"conversation_id":"c1","hook_event_name":"postToolUse","tool_input":{"command":"ls"},"tool_output":"{\"exitCode\":0,\"stdout\":\"a\\nb\"}","duration":12,"workspace_roots":["/home/u/repo"]}`)},
		},
		{
			"Stop",
			`{"session_id":"s","cwd":"/r","hook_event_name":"Stop","stop_hook_active":false}`,
			Signal{at, nil, "/r", ptr(`{"session_id":"s","hook_event_name":"Stop","stop_hook_active":false}`)},
		},
		{
			"SubagentStop",
			`{"session_id":"s","cwd":"/r","hook_event_name":"SubagentStop","agent_id":"a","agent_transcript_path":"/t.jsonl"}`,
			Signal{at, nil, "/r", ptr(`{"session_id":"s","hook_event_name":"SubagentStop","agent_id":"a","agent_transcript_path":"/t.jsonl"}`)},
		},
		{
			"PreCompact",
			`{"session_id":"s","hook_event_name":"PreCompact","trigger":"manual","custom_instructions":""}`,
			Signal{at, nil, "/project", ptr(`{"session_id":"s","hook_event_name":"PreCompact","trigger":"manual","custom_instructions":""}`)},
		},
		{
			"SessionEnd",
			`{"hook_event_name":"SessionEnd","reason":"exit"}`,
			Signal{at, nil, "/project", ptr(`{"hook_event_name":"SessionEnd","reason":"exit"}`)},
		},
		{
			"UserPromptSubmit",
			`{"hook_event_name":"UserPromptSubmit","cwd":"/r","prompt":"caf\u00e9 \u4e00 ü"}`,
			Signal{at, nil, "/r", ptr(`{"hook_event_name":"UserPromptSubmit","prompt":"caf\u00e9 \u4e00 ü"}`)},
		},
		{
			"Notification",
			`{"hook_event_name":"Notification","message":"<waiting> & \/"}`,
			Signal{at, nil, "/project", ptr(`{"hook_event_name":"Notification","message":"<waiting> & \/"}`)},
		},
		{
			"Codex notify",
			`{"type":"agent-turn-complete","thread-id":"b5f6","turn-id":"12345","cwd":"/r","input-messages":["rename foo"],"last-assistant-message":null}`,
			Signal{at, nil, "/r", ptr(`{"type":"agent-turn-complete","thread-id":"b5f6","turn-id":"12345","input-messages":["rename foo"],"last-assistant-message":null}`)},
		},
		{
			"workspace_roots beside cwd",
			`{"hook_event_name":"stop","workspace_roots":["/a","/b"],"cwd":"/c"}`,
			Signal{at, nil, "/c", ptr(`{"hook_event_name":"stop","workspace_roots":["/a","/b"]}`)},
		},
		{
			"the first of workspace_roots, escaped, where cwd is none",
			`{"hook_event_name":"stop","workspace\u005froots":[ "\/a\u00fc" , 7],"cwd":null}`,
			Signal{at, nil, "/aü", ptr(`{"hook_event_name":"stop","workspace\u005froots":["\/a\u00fc",7],"cwd":null}`)},
		},
		{
			"workspace_roots given twice: the last with a first counts",
			`{"hook_event_name":"stop","workspace_roots":["/a"],"workspace_roots":["/b"],"workspace_roots":[""],"workspace_roots":"/c"}`,
			Signal{at, nil, "/b", ptr(`{"hook_event_name":"stop","workspace_roots":["/a"],"workspace_roots":["/b"],"workspace_roots":[""],"workspace_roots":"/c"}`)},
		},
		{
			"Gemini AfterTool",
			`{"session_id":"s","cwd":"/r","hook_event_name":"AfterTool","timestamp":"2025-11-22T23:00:01.999Z","tool_name":"write_file"}`,
			Signal{at + 1, ptr("write_file"), "/r", ptr(`{"session_id":"s","hook_event_name":"AfterTool","timestamp":"2025-11-22T23:00:01.999Z"}`)},
		},
		{
			"a timestamp elsewhere, given twice",
			`{"hook_event_name":"x","timestamp":"1970-01-01T00:00:00Z","timestamp":"2025-11-23T01:30:00+02:30","timestamp":1}`,
			Signal{at, nil, "/project", ptr(`{"hook_event_name":"x","timestamp":"1970-01-01T00:00:00Z","timestamp":"2025-11-23T01:30:00+02:30","timestamp":1}`)},
		},
		{
			"the first second",
			`{"hook_event_name":"x","timestamp":"1970-01-01T00:00:00.5Z"}`,
			Signal{0, nil, "/project", ptr(`{"hook_event_name":"x","timestamp":"1970-01-01T00:00:00.5Z"}`)},
		},
		{
			"both an event and a notification",
			`{"type":"x","turn-id":"1","hook_event_name":"Stop"}`,
			Signal{at, nil, "/project", ptr(`{"type":"x","turn-id":"1","hook_event_name":"Stop"}`)},
		},
		{
			"nothing but the name",
			` {"hook_event_name":""} `,
			Signal{at, nil, "/project", ptr(`{"hook_event_name":""}`)},
		},
		{
			"escaped names",
			`{"hook\u005fevent_name":"Stop","tool\u005fname":"A","\u0063wd":"/r"}`,
			Signal{at, ptr("A"), "/r", ptr(`{"hook\u005fevent_name":"Stop"}`)},
		},
		{
			"not taken: empty cwd, tool_name no string",
			`{"hook_event_name":"x","cwd":"","tool_name":["A"]}`,
			Signal{at, nil, "/project", ptr(`{"hook_event_name":"x","cwd":"","tool_name":["A"]}`)},
		},
		{
			"given twice: the last string counts",
			`{"hook_event_name":"x","tool_name":"A","cwd":"/a","tool_name":"B","cwd":"/b","tool_name":null,"cwd":""}`,
			Signal{at, ptr("B"), "/b", ptr(`{"hook_event_name":"x","tool_name":"A","cwd":"/a","tool_name":null,"cwd":""}`)},
		},
		{
			"only JSON in signal's fields",
			`{"hook_event_name":"x","payload":{"a":1},"recorded_at":"now"}`,
			Signal{at, nil, "/project", ptr(`{"hook_event_name":"x","payload":{"a":1},"recorded_at":"now"}`)},
		},
		{
			"duplicates and odd numbers are kept",
			`{"hook_event_name":"x","a":{"b":-0,"b":1E+400},"c":"\ud83d\ude00\u00e9\/"}`,
			Signal{at, nil, "/project", ptr(`{"hook_event_name":"x","a":{"b":-0,"b":1E+400},"c":"\ud83d\ude00\u00e9\/"}`)},
		},
		{
			"half a pair is replaced",
			`{"hook_event_name":"x","\ud800":"\udc00","a":{"b":-0,"b":1E+400,"c":["\ud83d\ude00\ude00"]},"tool_name":"\ud800","cwd":"/\udfff"}`,
			Signal{at, nil, "/project", ptr(`{"hook_event_name":"x","�":"�","a":{"b":-0,"b":1E+400,"c":["😀�"]},"tool_name":"�","cwd":"/�"}`)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, decode(t, tt.drop, origin)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What cannot be used is left where it is.
func TestDecodeEventUnusable(t *testing.T) {
	for _, member := range []string{
		`"workspace_roots":[]`, `"workspace_roots":[""]`, `"workspace_roots":[["/a"]]`, `"workspace_roots":[null,"/a"]`,
		`"workspace_roots":"/a"`, `"workspace_roots":{"0":"/a"}`, `"workspace_roots":null`, `"workspace_roots":["\ud800"]`,
		`"timestamp":1763852400123`, `"timestamp":null`, `"timestamp":""`, `"timestamp":"now"`, `"timestamp":"2025-11-22"`,
		`"timestamp":"2025-11-22T23:00:00"`, `"timestamp":"2025-02-30T23:00:00Z"`, `"timestamp":"2025-11-22 23:00:00Z"`,
		`"timestamp":"1969-12-31T23:59:59Z"`, `"timestamp":"1970-01-01T00:00:00+00:01"`, `"timestamp":"0000-01-01T00:00:00Z"`,
		`"timestamp":"12025-11-22T23:00:00Z"`, `"timestamp":["2025-11-22T23:00:00Z"]`, `"timestamp":"2025-11-22T23:00:00Z\ud800"`,
	} {
		drop := `{"hook_event_name":"x",` + member + `}`
		want := Signal{1763852400, nil, "/project", ptr(strings.ReplaceAll(drop, `\ud800`, "\ufffd"))}
		if diff := cmp.Diff(want, decode(t, drop, origin)); diff != "" {
			t.Errorf("%s: %s", member, diff)
		}
	}
}

func TestDecodeSignal(t *testing.T) {
	const at = 1763852400
	for _, tt := range []struct {
		name, drop string
		want       Signal
	}{
		{"whole", `{"recorded_at":1,"tool_name":"A","cwd":"/r","payload":"p"}`, Signal{1, ptr("A"), "/r", ptr("p")}},
		{"only tool_name", `{"tool_name":"A"}`, Signal{at, ptr("A"), "/project", nil}},
		{"only payload", "\r\n\t{\"payload\":\"\"}\n\n", Signal{at, nil, "/project", ptr("")}},
		{"empty cwd", `{"payload":"p","cwd":"","tool_name":null}`, Signal{at, nil, "", ptr("p")}},
		{"recorded_at zero", `{"payload":"p","recorded_at":0}`, Signal{0, nil, "/project", ptr("p")}},
		{"hook_event_name no string", `{"payload":"p","hook_event_name":null}`, Signal{at, nil, "/project", ptr("p")}},
		{"type without an ID", `{"payload":"p","type":"x"}`, Signal{at, nil, "/project", ptr("p")}},
		{"an ID without type", `{"payload":"p","turn-id":"x","type":1}`, Signal{at, nil, "/project", ptr("p")}},
		{"name in another case", `{"payload":"p","Hook_Event_Name":"x"}`, Signal{at, nil, "/project", ptr("p")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, decode(t, tt.drop, origin)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeDropRefuses(t *testing.T) {
	for _, tt := range []struct{ drop, want string }{
		{``, "not a JSON object"},
		{" \n", "not a JSON object"},
		{`null`, "not a JSON object"},
		{`[1,null,"/c","p"]`, "not a JSON object"},
		{`"x"`, "not a JSON object"},
		{`{}`, "neither a signal nor a hook event"},
		{`{"recorded_at":1,"cwd":"/r","tool_name":null}`, "neither a signal nor a hook event"},
		{`{"payload":"p"`, "cut off"},
		{`{"payload":"p`, "cut off"},
		{`{"payload":"p"}{"payload":"q"}`, "more text after"},
		{`{"payload":"p"} x`, "more text after"},
		{`{"payload":"p",}`, "not JSON"},
		{"\ufeff" + `{"payload":"p"}`, "byte order mark"},
		{"\u00a0" + `{"payload":"p"}`, "not JSON"},
		{`{"hook_event_name":"x","y":"` + "\xff" + `"}`, "not UTF-8"},
		{"\xff\xfe{\x00}\x00", "not UTF-8"},
		{`{"hook_event_name":"x","y":"` + "\x01" + `"}`, "not JSON"},
		{`{"payload":"p","recorded_at":null}`, "recorded_at is not"},
		{`{"payload":"p","recorded_at":1.0}`, "recorded_at is not"},
		{`{"payload":"p","cwd":null}`, "cwd is not a string"},
		{`{"payload":{"a":1}}`, "payload is not a string"},
		{`{"payload":"p","payload":"p"}`, "payload is given twice"},
		{`{"payload":"\ud800"}`, "payload has half a surrogate pair"},
		{`{"payload":"p","\ud800":1}`, "name has half a surrogate pair"},
		{`{"hook_event_name":"x"` + strings.Repeat(`,"y":0`, maxMembers) + `}`, "more than 65536 fields"},
		{`{"hook_event_name":"x","y":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "exceeded max depth"},
	} {
		s, err := DecodeDrop([]byte(tt.drop), origin)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.100q: got %v, want %s", tt.drop, err, tt.want)
		}
		if s != (Signal{}) {
			t.Errorf("%.100q: not empty beside an error: %+v", tt.drop, s)
		}
	}
}

func TestOrigin(t *testing.T) {
	s := decode(t, `{"payload":"p"}`, Origin{Project: "/a\xffb", ModTime: time.Unix(-5, 0)})
	if want := (Signal{0, nil, "/a\ufffdb", ptr("p")}); !cmp.Equal(want, s) {
		t.Error(cmp.Diff(want, s))
	}
	long := strings.Repeat("x", 100_000)
	for _, tt := range []struct{ limit, plain, event int }{
		{-1, 100_000, 100_033}, {0, 100_000, 100_033}, {1, MinPayload, MinPayload}, {MinPayload, MinPayload, MinPayload},
		{100_000, 100_000, 100_000}, {99_999, 99_999, 99_999}, {200_000, 100_000, 100_033},
	} {
		o := Origin{MaxPayload: tt.limit}
		// Room is kept for a number as long as the text's own length; what is
		// not needed of it is left over.
		const spare = len("100000") - len("1")
		n := len(*decode(t, `{"payload":"`+long+`"}`, o).Payload)
		if n > tt.plain || n < tt.plain-spare {
			t.Errorf("limit %d: payload of %d bytes, want %d", tt.limit, n, tt.plain)
		}
		n = len(*decode(t, `{"hook_event_name":"Stop","x":"`+long+`"}`, o).Payload)
		if n > tt.event || n < tt.event-spare {
			t.Errorf("limit %d: event of %d bytes, want %d", tt.limit, n, tt.event)
		}
	}
}

func TestDecodedHoldsNothing(t *testing.T) {
	for _, drop := range []string{
		`{"hook_event_name":"x","tool_name":"A","cwd":"/r","y":"z"}`,
		`{"tool_name":"A","cwd":"/r","payload":"p"}`,
	} {
		data := []byte(drop)
		s, err := DecodeDrop(data, origin)
		if err != nil {
			t.Fatal(err)
		}
		before := string(s.AppendLine(nil))
		copy(data, bytes.Repeat([]byte("#"), len(data)))
		if after := string(s.AppendLine(nil)); after != before {
			t.Errorf("was %s, became %s", before, after)
		}
	}
}

func benchEvent(output int) []byte {
	b, err := json.Marshal(map[string]any{
		"session_id":      "6b0e4c1e-9d0c-4f6e-a5c3-3f4a0f3b7c11",
		"transcript_path": "/home/u/.claude/projects/-home-u-repo/6b0e4c1e.jsonl",
		"cwd":             "/home/u/repo",
		"hook_event_name": "PostToolUse",
		"tool_name":       "Bash",
		"tool_input":      map[string]any{"command": "go test ./...", "timeout": 1000},
		"tool_response":   map[string]any{"stdout": strings.Repeat("ok  \tpkg\t0.1s\n", output/15), "stderr": "", "interrupted": false},
	})
	if err != nil {
		panic(err)
	}
	return b
}

func BenchmarkDecodeDrop(b *testing.B) {
	numbers := strings.TrimSuffix(strings.Repeat("1,", 500_000), ",")
	for _, bm := range []struct {
		name string
		data []byte
	}{
		{"Signal", benchLine},
		{"Event", benchEvent(300)},
		{"Event64K", benchEvent(64 << 10)},
		{"Event1M", benchEvent(900 << 10)},
		{"Hostile/Numbers", []byte(`{"hook_event_name":"x","y":[` + numbers + `]}`)},
		{"Hostile/Members", []byte(`{"hook_event_name":"x"` + strings.Repeat(`,"y":0`, 65_000) + `}`)},
		{"Hostile/Escapes", []byte(`{"hook_event_name":"x","y":"` + strings.Repeat(`\ud83d`, 170_000) + `"}`)},
		{"Hostile/Depth", []byte(`{"hook_event_name":"x"` + strings.Repeat(`,"y":`+strings.Repeat("[", 9_000)+strings.Repeat("]", 9_000), 56) + `}`)},
		{"Hostile/Strings", []byte(`{"hook_event_name":"x","y":["` + strings.Repeat(strings.Repeat("x", 60)+`","`, 16_000) + `"]}`)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(bm.data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeDrop(bm.data, origin); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
