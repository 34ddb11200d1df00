//go:build unix

package configs

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"spoolagent/internal/agenttest"
)

// maxDrop is what the agent takes in a drop, by default.
var maxDrop = int(Default().MaxDrop)

// eachAwk runs a test with the hook and each of them. It is called by a function:
// a busybox may have its own before those in PATH.
func eachAwk(t *testing.T, test func(t *testing.T, sh []string)) {
	for i, awk := range agenttest.Awks {
		t.Run(strings.Join(awk, " "), func(t *testing.T) {
			shell := agenttest.Shells[i%len(agenttest.Shells)]
			call := "\nawk() { LC_ALL=C " + agenttest.Tool(t, awk[0]) + " " + strings.Join(awk[1:], " ") + ` "$@"; }` + "\nPATH="
			hook := script(t, strings.Replace(Hook(), "\nPATH=", call, 1))
			test(t, append(append([]string{agenttest.Tool(t, shell[0])}, shell[1:]...), hook))
		})
	}
}

// stored runs the hook with an event and returns its drop.
func stored(t *testing.T, sh []string, event string) string {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "") // one of its own, each time
	if err != nil {
		t.Fatal(err)
	}
	runHook(t, command(dir, sh), event)
	got := drops(t, dir)
	if len(got) != 1 {
		t.Fatalf("%d drops", len(got))
	}
	return got[0]
}

// A build that prints 5 MB: its head and tail are there, and all the rest.
func TestHookLongOutput(t *testing.T) {
	eachAwk(t, func(t *testing.T, sh []string) {
		for name, line := range map[string]string{
			"plain":       "ok  pkg 0.1s ",
			"escapes":     `ü "quoted" C:\path` + "\t\x01 😀\n",
			"backslashes": `\`,
			"hex":         "0",
		} {
			t.Run(name, func(t *testing.T) {
				size := 1_500_000
				if name == "plain" {
					size = 5_000_000
				}
				output := "HEAD" + strings.Repeat(line, size/len(line)) + "TAIL"
				for _, ascii := range []bool{false, true} {
					text := marshal(t, map[string]any{
						"session_id": "s", "transcript_path": "/t.jsonl", "hook_event_name": "PostToolUse",
						"tool_name": "Bash", "tool_response": map[string]any{"stdout": output, "n": 1.50}, "z": "last",
					}, ascii)
					drop := stored(t, sh, text)
					checkShortened(t, text, drop)
					if !strings.Contains(drop, `"HEAD`) || line != `\` && !strings.Contains(drop, `TAIL"`) {
						t.Errorf("head and tail are not there: %.100s", drop)
					}
					if !strings.HasSuffix(strings.TrimSpace(drop), `,"transcript_path":"/t.jsonl","z":"last"}`) {
						t.Errorf("something is missing in: %s", drop[len(drop)-200:])
					}
				}
			})
		}
	})
}

// Where many strings, or none, are what makes an event long, it still says what
// it belongs to.
func TestHookLongWithoutStrings(t *testing.T) {
	const identity = `"cwd":"/r \"q\" \\","hook_event_name":"Stop","session_id":"s",`
	eachAwk(t, func(t *testing.T, sh []string) {
		for _, rest := range []string{
			`"a":[` + strings.Repeat("1, ", 700_000) + `2]`,
			`"a":[` + strings.Repeat(`"\"x",`, 200_000) + "\n\"é\"]",
		} {
			drop := stored(t, sh, `{`+identity+`"n":{"session_id":"other"},`+rest+`}`+"\n")
			var got map[string]string
			if err := json.Unmarshal([]byte(drop), &got); err != nil || !strings.HasPrefix(drop, "{"+identity) || len(got) != 4 {
				t.Fatalf("%v: %.200s", err, drop)
			}
			checkCut(t, `{`+identity+`"n":{"session_id":"other"},`+strings.ReplaceAll(rest, "\n", " ")+`} `, got["shortened"])
		}
		var many strings.Builder
		for i := range 400 {
			fmt.Fprintf(&many, `,"%d":"%s"`, i, strings.Repeat("é", 5000))
		}
		text := `{"hook_event_name":"Stop"` + many.String() + `}`
		checkShortened(t, text, stored(t, sh, text))
	})
}

// What is not JSON is left as it came, for the agent to reject.
func TestHookLongOdd(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 1<<17)
	eachAwk(t, func(t *testing.T, sh []string) {
		for _, text := range []string{
			long, `{"a":"` + long, "{" + strings.Repeat("1,", 1<<20) + "}", strings.Repeat("\xff\x00", 1<<20),
		} {
			if drop := stored(t, sh, text); drop != text {
				t.Errorf("%.40q became %.40q", text, drop)
			}
		}
		// At the edge.
		for _, n := range []int{maxDrop - 1, maxDrop, maxDrop + 1} {
			text := `{"hook_event_name":"x","y":"` + strings.Repeat("z", n-30) + `"}`
			drop := stored(t, sh, text)
			if n < maxDrop && drop != text {
				t.Errorf("%d bytes have been shortened", n)
			}
			if n >= maxDrop {
				checkShortened(t, text, drop)
			}
		}
	})
}

// anyLong is JSON with strings that make it long, most of the time.
var anyLong = rapid.Custom(func(rt *rapid.T) string {
	piece := rapid.SampledFrom([]string{
		`\n`, `\"`, `\\`, `\/`, `\u00fc`, `\ud83d\ude00`, `\ud83d`, `\ude00`, "é", "日", "😀", "a", "u", "0", " ", "{[:,", `\\u00`, `\t`,
	})
	long := func(label string) string {
		unit := strings.Join(rapid.SliceOfN(piece, 1, 12).Draw(rt, label), "")
		lead := strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(rt, label), "")
		return `"` + lead + strings.Repeat(unit, rapid.IntRange(300_000, 700_000).Draw(rt, label)/len(unit)) + `"`
	}
	return `{"hook_event_name":"x" , "` + strings.Repeat("k", rapid.IntRange(0, 40_000).Draw(rt, "key")) + `":` + long("a") +
		`,"n":[1,{},[],` + long("b") + `],"":null,"c":` + long("c") + "}\n"
})

// It comes out as JSON, the same but for the middle of its strings.
func TestHookLongAny(t *testing.T) {
	eachAwk(t, func(t *testing.T, sh []string) {
		for seed := range 6 {
			text := anyLong.Example(seed)
			drop := stored(t, sh, text)
			if len(text) >= maxDrop {
				checkShortened(t, text, drop)
			} else if drop != text {
				t.Error("shortened")
			}
		}
	})
}

func marshal(t *testing.T, v any, ascii bool) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if !ascii {
		return string(data)
	}
	text := strconv.QuoteToASCII(string(data))
	text = text[1 : len(text)-1]
	text = strings.ReplaceAll(text, `\"`, `"`)
	text = strings.ReplaceAll(text, `\\`, `\`)
	return regexp.MustCompile(`\\U0001f600`).ReplaceAllString(text, `\ud83d\ude00`)
}

var cutMarker = regexp.MustCompile(`…\[([0-9]+) bytes cut\]…`)

// dissect takes JSON apart: its strings, and what is around them. It does by
// hand what a regular expression would need minutes for in all these tests.
func dissect(text string) (around string, quoted []string) {
	var b strings.Builder
	for {
		start := strings.IndexByte(text, '"')
		if start < 0 {
			return b.String() + text, quoted
		}
		b.WriteString(text[:start])
		end := start + 1
		for {
			i := strings.IndexAny(text[end:], `"\\`)
			if i < 0 {
				return b.String() + text[start:], quoted // it does not end
			}
			if end += i; text[end] == '"' {
				break
			}
			end += 2
		}
		quoted = append(quoted, text[start:end+1])
		b.WriteString(`""`)
		text = text[end+1:]
	}
}

// checkShortened checks that a drop is JSON in less than maxDrop bytes, and the
// event but for strings that have lost their middle.
func checkShortened(t *testing.T, text, drop string) {
	t.Helper()
	if len(drop) >= maxDrop || !json.Valid([]byte(drop)) || !utf8.ValidString(drop) {
		t.Fatalf("%d bytes, JSON: %v: %.200q", len(drop), json.Valid([]byte(drop)), drop)
	}
	aroundWhole, whole := dissect(text)
	aroundShort, short := dissect(drop)
	if aroundShort != aroundWhole || len(short) != len(whole) {
		t.Fatalf("not the same around strings: %.200q", aroundShort)
	}
	for i := range whole {
		if whole[i] != short[i] {
			checkCut(t, whole[i], short[i])
		}
	}
}

// checkCut checks a text that has lost its middle.
func checkCut(t *testing.T, whole, short string) {
	t.Helper()
	if len(short) > 36_000 {
		t.Fatalf("%d bytes are kept", len(short))
	}
	m := cutMarker.FindStringSubmatchIndex(short)
	if m == nil {
		t.Fatalf("another string without a marker: %.100q for %.100q", short, whole)
	}
	head, tail := short[:m[0]], short[m[1]:]
	gone, _ := strconv.Atoi(short[m[2]:m[3]])
	if !strings.HasPrefix(whole, head) || !strings.HasSuffix(whole, tail) || len(head)+gone+len(tail) != len(whole) {
		t.Fatalf("cut wrongly: %.100q ... %.100q, %d of %d bytes", head, tail, gone, len(whole))
	}
	for _, half := range []string{`\ud83d`, `\ude00`} {
		if strings.Contains(whole, half+"a") || strings.Contains(whole, half+`"`) {
			return // it has halves of its own
		}
	}
	if strings.HasSuffix(head, `\ud83d`) && strings.HasPrefix(whole[len(head):], `\ude00`) && !strings.HasSuffix(head, `\\ud83d`) {
		t.Fatalf("a pair is cut: %q", head[max(0, len(head)-30):])
	}
}
