package signal

import (
	"slices"
	"sort"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MinPayload is the least limit, in bytes, that a payload can be held to.
const MinPayload = 64

// Every cut leaves a marker with the number of bytes that went, counted once
// escapes are undone.
const (
	markerHead = "…["
	markerTail = " bytes cut]…"
)

// floor is the length, with its quotes, to which a string may be cut before more
// than strings is given up: what is left of it is still of use.
const floor = 120

// minString is a length to which every JSON string can be cut.
const minString = len(`""`) + len(markerHead) + 20 + len(markerTail)

// identity are the fields that say what an event belongs to. They stay whole.
var identity = []string{
	"spool_source", "hook_event_name", "hookEventName", "event", "agent_action_name", "type",
	"session_id", "sessionId", "sessionID", "trajectory_id", "thread-id", "turn-id", "conversation_id", "conversationId",
	"transcript_path", "transcriptPath",
}

// span is a value's place in an object's text.
type span struct{ start, end int }

// shorten returns, in at most limit bytes, MinPayload or more, a valid JSON
// object for a compact one that has more.
//
// The longest strings lose their middle to a marker, all down to one length, so
// that short ones stay whole. Where that is not enough, the longest values of
// the object's members become strings of their own JSON text, cut in the same
// way. If the object has too many members even for that, it keeps those that
// identify the event, and its own text, cut, in a string "shortened".
func shorten(event []byte, limit int) []byte {
	for _, within := range []bool{true, false} {
		spans := long(event, within)
		most := sort.Search(limit, func(n int) bool {
			size := len(event)
			for _, s := range spans {
				size -= max(0, s.end-s.start-n)
			}
			return size > limit
		}) - 1
		if most >= floor {
			return cutAll(event, spans, most)
		}
	}
	return identified(event, limit)
}

// long lists the strings of an object that are longer than floor, but for its
// identity; without within, not those in values of its members, but these values.
func long(event []byte, within bool) (spans []span) {
	dec := newDecoder(event)
	defer decoders.Put(dec)
	_, _ = dec.ReadToken() // the first brace
	name := ""
	for {
		if kind := dec.PeekKind(); kind != '"' && (within || kind == '}' || kind == 0) {
			if _, err := dec.ReadToken(); err != nil {
				return spans // it is the end, for event is valid
			}
			name = ""
			continue
		}
		v, _ := dec.ReadValue()
		end := int(dec.InputOffset())
		if event[end] == ':' { // for event is compact
			key, _ := unescape(v)
			name = string(key)
		} else if len(v) > floor && (v.Kind() != '"' || !slices.Contains(identity, name)) {
			spans = append(spans, span{end - len(v), end})
		}
	}
}

// cutAll cuts the spans that are longer than most to that length.
func cutAll(event []byte, spans []span, most int) []byte {
	var dst []byte
	done := 0
	for _, s := range spans {
		if s.end-s.start <= most {
			continue
		}
		dst = append(dst, event[done:s.start]...)
		quoted := event[s.start:s.end]
		if quoted[0] != '"' {
			quoted = appendQuote(nil, quoted)
		}
		dst = appendCut(dst, quoted, most)
		done = s.end
	}
	return append(dst, event[done:]...)
}

// identified returns an object of those fields of identity that fit, and the
// event's text, cut.
func identified(event []byte, limit int) []byte {
	const last = `"shortened":`
	ms, _ := parse(event) // it is valid
	dst := append(make([]byte, 0, limit), '{')
	for _, m := range ms {
		size := len(m.name) + len(":") + len(m.value) + len(",")
		if m.value.Kind() == '"' && slices.Contains(identity, string(m.key)) && len(dst)+size+len(last)+minString+len("}") <= limit {
			dst = append(append(append(append(dst, m.name...), ':'), m.value...), ',')
		}
	}
	dst = append(dst, last...)
	dst = appendCut(dst, appendQuote(nil, event), limit-len(dst)-len("}"))
	return append(dst, '}')
}

// appendCut appends a JSON string, given with its quotes and longer than limit,
// cut to limit bytes or a few less: half of what is left beside the marker is
// head and half is tail. Neither begins or ends within an escape or a character.
func appendCut(dst, quoted []byte, limit int) []byte {
	body := quoted[1 : len(quoted)-1]
	keep := limit - len(`""`) - markerLen(len(body))
	head := 0
	for n := unit(body); head+n <= (keep+1)/2; n = unit(body[head:]) {
		head += n
	}
	tail := head
	for len(body)-tail > keep-head {
		tail += unit(body[tail:])
	}
	gone, _ := jsontext.AppendUnquote(nil, slices.Concat(quoted[:1], body[head:tail], quoted[:1])) // valid
	dst = append(append(dst, '"'), body[:head]...)
	dst = appendMarker(dst, len(gone))
	return append(append(dst, body[tail:]...), '"')
}

// unit returns the length of the indivisible piece that a JSON string's body
// begins with: a character, or an escape, and of a surrogate pair both.
func unit(body []byte) int {
	switch {
	case body[0] != '\\':
		_, n := utf8.DecodeRune(body)
		return n
	case body[1] != 'u':
		return len(`\n`)
	case body[2]|0x20 == 'd' && body[3] >= '8': // there are no halves
		return len(`\ud83d\ude00`)
	}
	return len(`\u0000`)
}

// shortenText keeps the head of a text longer than limit, and a marker.
func shortenText(s string, limit int) string {
	keep := limit - markerLen(len(s))
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return string(appendMarker([]byte(s[:keep]), len(s)-keep))
}

// appendMarker appends what stands for n bytes that went.
func appendMarker(dst []byte, n int) []byte {
	return append(strconv.AppendInt(append(dst, markerHead...), int64(n), 10), markerTail...)
}

// markerLen is how long a marker gets at most if up to n bytes go.
func markerLen(n int) int { return len(markerHead) + len(strconv.Itoa(n)) + len(markerTail) }
