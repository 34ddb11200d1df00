package signal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is one line of testdata/vectors.jsonl: a line of a queue, and what the
// original makes of it.
type vector struct {
	Name      string
	Line      []byte `json:"line_base64"`
	Canonical *string
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	f, err := os.Open("testdata/vectors.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var vs []vector
	for in := bufio.NewScanner(f); in.Scan(); {
		var v vector
		if err := json.Unmarshal(in.Bytes(), &v); err != nil {
			tb.Fatal(err)
		}
		vs = append(vs, v)
	}
	if len(vs) != 42 {
		tb.Fatalf("%d vectors, want 42", len(vs))
	}
	return vs
}

// checkLine parses a line and compares what comes out with canonical; empty
// means that the line must be refused.
func checkLine(t *testing.T, line []byte, canonical string) {
	t.Helper()
	s, err := ParseLine(line)
	if canonical == "" {
		if err == nil {
			t.Errorf("%q was accepted", line)
		}
		if s != (Signal{}) {
			t.Errorf("%q: not empty beside an error: %+v", line, s)
		}
		return
	}
	if err != nil {
		t.Errorf("%q: %v", line, err)
		return
	}
	if got := string(s.AppendLine(nil)); got != canonical {
		t.Errorf("%q:\ngot  %s\nwant %s", line, got, canonical)
	}
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			want := ""
			if v.Canonical != nil {
				want = *v.Canonical
			}
			checkLine(t, v.Line, want)
			checkLine(t, append(v.Line, '\n'), want)
		})
	}
}

// Every row was put to the original's parser as well, serde_json 1.0.87, and came
// out so, but for those that say that they differ. ("More than one line" it never
// gets to see: it reads line by line.)
func TestParseLine(t *testing.T) {
	const plain = `{"recorded_at":1,"cwd":"/c"}`
	deep := func(n int) string {
		return `{"recorded_at":1,"cwd":"/c","x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}"
	}
	for _, tt := range []struct{ name, line, canonical string }{
		{"blank", "", ""},
		{"white space", " \t\u3000\r\n", ""},
		{"newline", plain + "\n", plain},
		{"carriage return and newline", plain + "\r\n", plain},
		{"Unicode white space around", "\u00a0\u3000\v\f\u0085\u1680\u2028\u202f" + plain + "\u205f\u2029\u2000\v\f\u00a0", plain},
		{"no-break space within", "{\u00a0\"recorded_at\":1,\"cwd\":\"/c\"}", ""},
		{"form feed within", "{\f\"recorded_at\":1,\"cwd\":\"/c\"}", ""},
		{"zero width space around", "\u200b" + plain, ""},
		{"Mongolian vowel separator around", "\u180e" + plain, ""},
		{"unit separator around", "\x1f" + plain, ""},
		{"nul at the end", plain + "\x00", ""},
		{"invalid UTF-8 around", "\xff" + plain, ""},
		{"invalid UTF-8 in an unknown field", `{"recorded_at":1,"cwd":"/c","x":"` + "\xc0\xaf" + `"}`, ""},
		{"encoded surrogate", `{"recorded_at":1,"cwd":"` + "\xed\xa0\x80" + `"}`, ""},
		{"tab within", "{\t\"recorded_at\"\t:\r1 , \"cwd\":\"/c\"\t}", plain},

		{"array form (differs)", `[1,null,"/c",null]`, ""},
		{"more than one line", "{\"recorded_at\":1,\n\"cwd\":\"/c\"}", ""},

		{"escaped name of a field", `{"\u0072ecorded_at":1,"c\u0077d":"/c"}`, plain},
		{"escaped name given twice", `{"recorded_at":1,"cwd":"/c","\u0063wd":"/c"}`, ""},
		{"tool_name twice, null first", `{"recorded_at":1,"cwd":"/c","tool_name":null,"tool_name":"x"}`, ""},
		{"payload twice, null second", `{"recorded_at":1,"cwd":"/c","payload":"x","payload":null}`, ""},
		{"payload null twice", `{"recorded_at":1,"cwd":"/c","payload":null,"payload":null}`, ""},
		{"recorded_at twice", `{"recorded_at":1,"recorded_at":1,"cwd":"/c"}`, ""},
		{"unknown field twice", `{"recorded_at":1,"x":1,"cwd":"/c","x":2}`, plain},
		{"nested field twice", `{"recorded_at":1,"cwd":"/c","x":{"cwd":1,"cwd":2}}`, plain},
		{"empty name", `{"":0,"recorded_at":1,"cwd":"/c"}`, plain},
		{"name with a nul", `{"cwd\u0000":0,"recorded_at":1,"cwd":"/c"}`, plain},
		{"name not quoted", `{recorded_at:1,"cwd":"/c"}`, ""},
		{"name a number", `{1:1,"recorded_at":1,"cwd":"/c"}`, ""},

		{"minus zero", `{"recorded_at":-0,"cwd":"/c"}`, ""},
		{"plus one", `{"recorded_at":+1,"cwd":"/c"}`, ""},
		{"leading zero", `{"recorded_at":01,"cwd":"/c"}`, ""},
		{"exponent", `{"recorded_at":1e3,"cwd":"/c"}`, ""},
		{"exponent of zero", `{"recorded_at":1E0,"cwd":"/c"}`, ""},
		{"underscore", `{"recorded_at":1_0,"cwd":"/c"}`, ""},
		{"hexadecimal", `{"recorded_at":0x1,"cwd":"/c"}`, ""},
		{"20 digits and more", `{"recorded_at":100000000000000000000,"cwd":"/c"}`, ""},
		{"true for a time", `{"recorded_at":true,"cwd":"/c"}`, ""},
		{"array for a time", `{"recorded_at":[1],"cwd":"/c"}`, ""},
		{"number for cwd", `{"recorded_at":1,"cwd":1}`, ""},
		{"false for tool_name", `{"recorded_at":1,"cwd":"/c","tool_name":false}`, ""},

		{"half a pair in an unknown field", `{"recorded_at":1,"cwd":"/c","x":"\ud800","y":["\udc00"],"z":{"\ud800":0}}`, plain},
		{"half a pair in an unknown name", `{"recorded_at":1,"cwd":"/c","\ud800":1}`, ""},
		{"half a pair in cwd", `{"recorded_at":1,"cwd":"\udc00"}`, ""},
		{"two first halves", `{"recorded_at":1,"cwd":"\ud83d\ud83d"}`, ""},
		{"half and an escape", `{"recorded_at":1,"cwd":"\ud83d\n"}`, ""},
		{"pair in mixed case", `{"recorded_at":1,"cwd":"\uD83d\uDe00"}`, `{"recorded_at":1,"cwd":"😀"}`},
		{"pair in a name", `{"recorded_at":1,"cwd":"/c","\ud83d\ude00":1}`, plain},
		{"escaped noncharacter", `{"recorded_at":1,"cwd":"\uffff"}`, `{"recorded_at":1,"cwd":"` + "\uffff" + `"}`},
		{"replacement character", `{"recorded_at":1,"cwd":"\ufffd"}`, `{"recorded_at":1,"cwd":"` + "\ufffd" + `"}`},
		{"byte order mark in a string", "{\"recorded_at\":1,\"cwd\":\"\ufeff\"}", "{\"recorded_at\":1,\"cwd\":\"\ufeff\"}"},
		{"solidus", `{"recorded_at":1,"cwd":"\/a\u002F"}`, `{"recorded_at":1,"cwd":"/a/"}`},
		{"all controls", `{"recorded_at":1,"cwd":"\u0001\u0007\u000B\u000e\u001F\u0080"}`, `{"recorded_at":1,"cwd":"\u0001\u0007\u000b\u000e\u001f` + "\u0080" + `"}`},
		{"unknown escape", `{"recorded_at":1,"cwd":"\x41"}`, ""},
		{"unknown escape in an unknown field", `{"recorded_at":1,"cwd":"/c","x":"\a"}`, ""},
		{"short escape in an unknown field", `{"recorded_at":1,"cwd":"/c","x":"\u12"}`, ""},
		{"tab in an unknown field", "{\"recorded_at\":1,\"cwd\":\"/c\",\"x\":\"\t\"}", ""},
		{"tab in an unknown name", "{\"recorded_at\":1,\"cwd\":\"/c\",\"\t\":0}", ""},
		{"delete", "{\"recorded_at\":1,\"cwd\":\"\x7f\"}", "{\"recorded_at\":1,\"cwd\":\"\x7f\"}"},

		{"unknown numbers", `{"recorded_at":1,"cwd":"/c","x":[-0,1E400,1e-999,0.10,123456789012345678901234567890]}`, plain},
		{"unknown leading zero", `{"recorded_at":1,"cwd":"/c","x":00}`, ""},
		{"unknown trailing point", `{"recorded_at":1,"cwd":"/c","x":1.}`, ""},
		{"unknown leading point", `{"recorded_at":1,"cwd":"/c","x":.1}`, ""},
		{"unknown empty exponent", `{"recorded_at":1,"cwd":"/c","x":1e}`, ""},
		{"unknown minus", `{"recorded_at":1,"cwd":"/c","x":-}`, ""},
		{"unknown NaN", `{"recorded_at":1,"cwd":"/c","x":NaN}`, ""},
		{"unknown True", `{"recorded_at":1,"cwd":"/c","x":True}`, ""},
		{"unknown trailing comma", `{"recorded_at":1,"cwd":"/c","x":[1,]}`, ""},
		{"unknown missing value", `{"recorded_at":1,"cwd":"/c","x":}`, ""},
		{"unknown brackets crossed", `{"recorded_at":1,"cwd":"/c","x":[}]}`, ""},
		{"leading comma", `{,"recorded_at":1,"cwd":"/c"}`, ""},
		{"no comma", `{"recorded_at":1 "cwd":"/c"}`, ""},
		{"no colon", `{"recorded_at" 1,"cwd":"/c"}`, ""},
		{"single quotes", `{'recorded_at':1,'cwd':'/c'}`, ""},
		{"closed twice", plain + "}", ""},
		{"comma behind", plain + ",", ""},

		{"nested 129 deep", deep(129), plain},
		{"nested 9,999 deep", deep(9_999), plain},
		{"nested 10,000 deep (differs)", deep(10_000), ""},
		{"opened 1,000,000 times", `{"recorded_at":1,"cwd":"/c","x":` + strings.Repeat("[", 1_000_000), ""},
	} {
		t.Run(tt.name, func(t *testing.T) { checkLine(t, []byte(tt.line), tt.canonical) })
	}
}

func TestParseLineErrors(t *testing.T) {
	if _, err := ParseLine([]byte("\u3000\n")); !errors.Is(err, ErrBlank) {
		t.Errorf("blank line: %v", err)
	}
	if _, err := ParseLine([]byte("\xff\n")); err == nil || errors.Is(err, ErrBlank) {
		t.Errorf("invalid UTF-8: %v", err)
	}
	for _, tt := range []struct{ line, want string }{
		{`[]`, "not a JSON object"},
		{`{"cwd":"/c"}`, "recorded_at is missing"},
		{`{"recorded_at":1}`, "cwd is missing"},
		{`{"recorded_at":1,"cwd":"/c","cwd":"/c"}`, "cwd is given twice"},
		{`{"recorded_at":1,"cwd":null}`, "cwd is not a string"},
		{`{"recorded_at":1,"cwd":"/c"`, "cut off: the JSON object has no end"},
		{`{"recorded_at":1,"cwd":"/c"} {}`, "more text after the JSON object"},
		{`{"recorded_at":1,"cwd":"/c","payload":"\ud800"}`, "payload has half a surrogate pair"},
	} {
		if _, err := ParseLine([]byte(tt.line)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.line, err, tt.want)
		}
	}
	// An error becomes one line of a file, whatever the fields are called.
	line := `{"` + strings.Repeat("x", 10_000) + `\n":{"` + strings.Repeat("y", 10_000) + `":!}}`
	if _, err := ParseLine([]byte(line)); err == nil || len(err.Error()) > 200 || strings.Contains(err.Error(), "\n") {
		t.Errorf("not one short line: %v", err)
	}
}

func TestSignalHoldsNothing(t *testing.T) {
	line := []byte(`{"recorded_at":7,"tool_name":"Bash","cwd":"/c","payload":"ls \"x\""}`)
	s, err := ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	for i := range line {
		line[i] = '#'
	}
	want := Signal{7, ptr("Bash"), "/c", ptr(`ls "x"`)}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}

func TestAppendLine(t *testing.T) {
	got := Signal{1, ptr("\xff"), "a\xed\xa0\x80b", nil}.AppendLine([]byte("x"))
	if want := "x{\"recorded_at\":1,\"tool_name\":\"\ufffd\",\"cwd\":\"a\ufffd\ufffd\ufffdb\"}"; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := ParseLine(got[1:]); err != nil {
		t.Error(err)
	}
	var all []byte
	for c := range 0x80 {
		all = append(all, byte(c))
	}
	s := Signal{CWD: string(all), ToolName: ptr(""), Payload: ptr("")}
	back, err := ParseLine(s.AppendLine(nil))
	if diff := cmp.Diff(s, back); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func ptr(s string) *string { return &s }

var benchLine = []byte(`{"recorded_at":1763852400,"tool_name":"Bash","cwd":"/home/user/src/some/repository","payload":"go test ./... -count=1 -race -run TestSomething -v | tail -40"}`)

func BenchmarkParseLine(b *testing.B) {
	event := Signal{1763852400, ptr("Bash"), "/home/user/repo", ptr(`{"session_id":"` + strings.Repeat(`abc","def":"`, 330) + `"}`)}
	for _, bm := range []struct {
		name string
		line []byte
	}{
		{"Plain", benchLine},
		{"Unknown", bytes.Replace(benchLine, []byte(`"cwd"`), []byte(`"x":[1,{"y":2}],"cwd"`), 1)},
		{"Event4K", event.AppendLine(nil)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(bm.line)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseLine(bm.line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendLine(b *testing.B) {
	s, err := ParseLine(benchLine)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(benchLine)))
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = s.AppendLine(buf[:0])
	}
}
