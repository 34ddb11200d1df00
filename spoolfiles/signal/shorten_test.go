package signal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var markerPattern = regexp.MustCompile(`…\[(\d+) bytes cut\]…`)

// checkMarker checks that got is whole with its middle replaced by a marker that
// counts right. whole must have no marker of its own.
func checkMarker(whole, got string) error {
	at := markerPattern.FindAllStringSubmatchIndex(got, -1)
	if len(at) != 1 {
		return fmt.Errorf("%d markers in %.300q", len(at), got)
	}
	head, tail := got[:at[0][0]], got[at[0][1]:]
	n, err := strconv.Atoi(got[at[0][2]:at[0][3]])
	if err != nil {
		return err
	}
	if !strings.HasPrefix(whole, head) || !strings.HasSuffix(whole, tail) {
		return fmt.Errorf("%.300q is not the ends of %.300q", got, whole)
	}
	if want := len(whole) - len(head) - len(tail); n != want || n <= 0 {
		return fmt.Errorf("the marker says %d bytes, it was %d: %.300q", n, want, got)
	}
	return nil
}

// checkShortened checks that got is whole with parts cut, and reports whether any
// container has become a string. Objects must not have a name twice.
func checkShortened(whole, got json.RawMessage) (flat bool, err error) {
	if bytes.Equal(whole, got) {
		return false, nil
	}
	if got[0] == '"' {
		var short, text string
		if err := json.Unmarshal(got, &short); err != nil {
			return false, err
		}
		if whole[0] != '"' {
			return true, checkMarker(string(whole), short)
		}
		if err := json.Unmarshal(whole, &text); err != nil {
			return false, err
		}
		return false, checkMarker(text, short)
	}
	if whole[0] != got[0] {
		return false, fmt.Errorf("%.300q became %.300q", whole, got)
	}
	a, b := children(whole), children(got)
	if len(a) != len(b) {
		return false, fmt.Errorf("%d members became %d: %.300q", len(a), len(b), got)
	}
	for i := range a {
		if a[i].name != b[i].name {
			return false, fmt.Errorf("%q became %q", a[i].name, b[i].name)
		}
		f, err := checkShortened(a[i].value, b[i].value)
		if err != nil {
			return false, err
		}
		flat = flat || f
	}
	return flat, nil
}

type child struct {
	name  string
	value json.RawMessage
}

// children lists the elements or members of a container.
func children(container json.RawMessage) (cs []child) {
	if !strings.ContainsRune("{[", rune(bytes.TrimSpace(container)[0])) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(container))
	open, err := dec.Token()
	if err != nil {
		panic(err)
	}
	for dec.More() {
		var c child
		if open == json.Delim('{') {
			name, err := dec.Token()
			if err != nil {
				panic(err)
			}
			c.name = name.(string)
		}
		if err := dec.Decode(&c.value); err != nil {
			panic(err)
		}
		cs = append(cs, c)
	}
	return cs
}

// checkEvent checks all that shorten promises of its result, but for what
// stays whole.
func checkEvent(event, got []byte, limit int) (flat, last bool, err error) {
	switch {
	case len(got) > limit:
		return false, false, fmt.Errorf("%d bytes with a limit of %d: %.300q", len(got), limit, got)
	case !utf8.Valid(got):
		return false, false, fmt.Errorf("not UTF-8: %.300q", got)
	case !json.Valid(got):
		return false, false, fmt.Errorf("not JSON: %.300q", got)
	}
	members := children(got)
	if n := len(members) - 1; n >= 0 && members[n].name == "shortened" {
		whole := children(event)
		for _, m := range members[:n] {
			if !slices.Contains(identity, m.name) ||
				!slices.ContainsFunc(whole, func(c child) bool { return c.name == m.name && bytes.Equal(c.value, m.value) }) {
				return false, true, fmt.Errorf("%q is not from the event: %.300q", m.name, got)
			}
		}
		_, err := checkShortened(append([]byte{'"'}, append(escaped(event), '"')...), members[n].value)
		return false, true, err
	}
	flat, err = checkShortened(event, got)
	return flat, false, err
}

// escaped is the body of a JSON string that says text; encoding/json would
// escape more.
func escaped(text []byte) []byte {
	return []byte(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(text)))
}

// genString draws a JSON string in any spelling.
func genString(t *rapid.T, maxUnits int) string {
	units := rapid.SampledFrom([]string{
		"a", "b", "z ", "é", "一", "😀", "\u2028", `\"`, `\\`, `\/`, `\n`, `\u0000`, `\u00e9`, `\u4e00`, `\ud83d\ude00`, `\uD83D\uDE00`, `\\u`, "{", "]", ",", ":",
	})
	n := rapid.IntRange(0, maxUnits).Draw(t, "units")
	few := rapid.SliceOfN(units, 1, 8).Draw(t, "text")
	var b strings.Builder
	b.WriteByte('"')
	for i := range n {
		b.WriteString(few[i%len(few)])
	}
	b.WriteByte('"')
	return b.String()
}

func genValue(t *rapid.T, depth int) string {
	kinds := 4
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "0", "-1.50", "1E+400"}).Draw(t, "scalar")
	case 1, 2:
		return genString(t, 20)
	case 3:
		return genString(t, 400)
	case 4:
		return genString(t, 2_000)
	case 5: // all alike
		v := genValue(t, depth-1)
		n := rapid.IntRange(0, 50).Draw(t, "times")
		return "[" + strings.TrimSuffix(strings.Repeat(v+",", n), ",") + "]"
	case 6:
		vs := make([]string, rapid.IntRange(0, 6).Draw(t, "elements"))
		for i := range vs {
			vs[i] = genValue(t, depth-1)
		}
		return "[" + strings.Join(vs, ",") + "]"
	default:
		return genObject(t, depth-1)
	}
}

func genObject(t *rapid.T, depth int) string {
	vs := make([]string, rapid.IntRange(0, 8).Draw(t, "members"))
	for i := range vs {
		name := fmt.Sprint("k", i)
		if i < len(identity) && rapid.Bool().Draw(t, "identity") {
			name = identity[i]
		}
		if rapid.IntRange(0, 20).Draw(t, "long name") == 0 {
			name += strings.Repeat("n", 300)
		}
		vs[i] = `"` + name + `":` + genValue(t, depth)
	}
	return "{" + strings.Join(vs, ",") + "}"
}

// withStringsCut returns the length of a JSON value with all strings cut to n, but
// for those of an identity.
func withStringsCut(v json.RawMessage, n int) int {
	size := len(v)
	if v[0] == '"' {
		return min(size, n)
	}
	for _, c := range children(v) {
		if c.value[0] != '"' || !slices.Contains(identity, c.name) {
			size += withStringsCut(c.value, n) - len(c.value)
		}
	}
	return size
}

// eachString calls f for each string in v, as it is spelt.
func eachString(v json.RawMessage, f func(s string)) {
	if v[0] == '"' {
		f(string(v))
	}
	for _, c := range children(v) {
		eachString(c.value, f)
	}
}

func TestShorten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		event := []byte(genObject(t, 3))
		if len(event) <= MinPayload {
			t.Skip("short")
		}
		limit := rapid.OneOf(
			rapid.IntRange(MinPayload, len(event)-1),
			rapid.IntRange(MinPayload, min(5_000, len(event)-1)),
		).Draw(t, "limit")
		got := shorten(event, limit)
		flat, last, err := checkEvent(event, got, limit)
		if err != nil {
			t.Fatal(err)
		}
		cut := func(shorter func(v json.RawMessage) int) int {
			size := len(event)
			for _, c := range children(event) {
				if c.value[0] != '"' || !slices.Contains(identity, c.name) {
					size += shorter(c.value) - len(c.value)
				}
			}
			return size
		}
		if last {
			if cut(func(v json.RawMessage) int { return min(len(v), floor) }) <= limit {
				t.Fatalf("values of %d bytes would do, but only the identity is left: %s", floor, got)
			}
		} else {
			kept := children(got)
			for i, c := range children(event) {
				if c.value[0] == '"' && slices.Contains(identity, c.name) && !bytes.Equal(c.value, kept[i].value) {
					t.Fatalf("%s was cut: %s", c.name, got)
				}
			}
		}
		if cut(func(v json.RawMessage) int { return withStringsCut(v, floor) }) <= limit {
			if last || flat {
				t.Fatalf("strings of %d bytes would do, but more has gone: %s", floor, got)
			}
			kept := map[string]bool{}
			eachString(got, func(s string) { kept[s] = true })
			eachString(event, func(s string) {
				if len(s) <= floor && !kept[s] {
					t.Fatalf("%s was cut, though strings of %d bytes would do: %s", s, floor, got)
				}
			})
		}
	})
}

func TestShortenText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringN(MinPayload, -1, -1).Draw(t, "text") + strings.Repeat("é", rapid.IntRange(0, 9_999).Draw(t, "more"))
		if len(s) <= MinPayload || strings.Contains(s, "…") {
			t.Skip("no case")
		}
		limit := rapid.IntRange(MinPayload, len(s)-1).Draw(t, "limit")
		got := shortenText(s, limit)
		if len(got) > limit || len(got) < limit-utf8.UTFMax || !utf8.ValidString(got) {
			t.Fatalf("limit %d: %d bytes: %q", limit, len(got), got)
		}
		if !strings.HasSuffix(got, markerTail) {
			t.Fatalf("no marker at the end: %q", got)
		}
		if err := checkMarker(s, got); err != nil {
			t.Fatal(err)
		}
	})
}

func TestShortenExamples(t *testing.T) {
	x := strings.Repeat("x", 10_000)
	list := "[" + strings.Repeat("1234567,", 5_000) + "0]"
	path := "/home/firstname.lastname/.claude/projects/-home-firstname-lastname-src-repository/6b0e4c1e-9d0c-4f6e-a5c3-3f4a0f3b7c11.jsonl"
	head := `{"session_id":"6b0e4c1e-9d0c-4f6e-a5c3-3f4a0f3b7c11","transcript_path":"` + path + `","hook_event_name":"PostToolUse"`
	for _, tt := range []struct {
		name, event  string
		limit, spare int    // bytes that may be left over
		want         string // pattern
	}{
		{"one string", head + `,"y":{"z":"` + x + `"}}`, 4096, 1, `^` + head + `,"y":\{"z":"x{900}x{900}x+…\[\d+ bytes cut\]…x{900}x{900}x+"\}\}$`},
		{"to one length", head + `,"a":"` + x + `","b":"` + x + x + `","c":"` + x[:900] + `"}`, 4096, 4, `"a":"x+…\[8\d+ bytes cut\]…x+","b":"x+…\[18\d+ bytes cut\]…x+","c":"x{900}"`},
		{"numbers", head + `,"y":` + list + `}`, 4096, 10, `^` + head + `,"y":"\[1234567,1234567,.*…\[\d+ bytes cut\]….*,1234567,0\]"\}$`},
		{"numbers within", head + `,"x":[1],"y":{"before":1,"list":` + list + `,"after":[2]},"z":"` + x[:110] + `"}`, 4096, 10, `^` + head + `,"x":\[1\],"y":"\{\\"before\\":1,\\"list\\":\[1234567,.*,0\],\\"after\\":\[2\]\}","z":"x{110}"\}$`},
		{"lists with room after all", `{"a":[` + strings.Repeat("1,", 549) + `2],"b":[` + strings.Repeat("3,", 549) + `4],"c":` + list + `}`, 4096, 5, `^\{"a":\[1,.*,2\],"b":\[3,.*,4\],"c":"\[12.*…\[\d+ bytes cut\]….*\]"\}$`},
		{"a path before a list of strings", head + `,"y":["` + strings.Repeat(x[:300]+`","`, 34) + `"]}`, 4096, 3, `^` + head + `,"y":"\[\\"xxx.*…\[\d+ bytes cut\]….*\]"\}$`},
		{"many members", head + strings.Repeat(`,"y":0`, 9_999) + `}`, 4096, 1, `^\{"session_id":"6b[^"]*","transcript_path":"/home[^"]*","hook_event_name":"PostToolUse","shortened":"\{.*\}"\}$`},
		{"a long name", `{"hook_event_name":"Stop","` + x + `":0}`, 200, 1, `^\{"hook_event_name":"Stop","shortened":"\{\\"hook_event_name.*x\\":0\}"\}$`},
		{"a long identity", `{"hook_event_name":"` + x + `","type":"t","n":` + list + `,"` + x + `":0}`, 200, 6, `^\{"type":"t","shortened":"`},
		{"the least", `{"hook_event_name":"Stop","y":` + list + `}`, MinPayload, 3, `cut\]…`},
		{"depth", `{"hook_event_name":"Stop","y":` + strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + `}`, 4096, 2, `"y":"\[\[.*\[\[\[…\[\d+ bytes cut\]…\]\].*\]\]"\}$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := shorten([]byte(tt.event), tt.limit)
			if _, _, err := checkEvent([]byte(tt.event), got, tt.limit); err != nil && tt.name != "many members" { // which has a name twice
				t.Error(err)
			}
			if !regexp.MustCompile(tt.want).Match(got) {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			if spare := tt.limit - len(got); spare < 0 || spare > tt.spare {
				t.Errorf("%d bytes are left over, more than %d: %s", spare, tt.spare, got)
			}
		})
	}
}
