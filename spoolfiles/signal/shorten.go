package signal

import "github.com/go-json-experiment/json/jsontext"

// MinPayload is the least limit, in bytes, that a payload can be held to.
const MinPayload = 64

// floors are the lengths, with quotes, to which strings may be cut before more
// than strings is given up, tried in this order. At the first one session_id and
// transcript_path stay whole.
var floors = [...]int{160, 80, minString}

// shortenEvent returns in at most limit bytes, MinPayload or more, a compact and
// valid JSON object that has more. The time it takes grows with len(event), give
// or take a sort.
func shortenEvent(event []byte, limit int) []byte {
	o := newOutline(event)
	for _, floor := range floors {
		if o.plan(floor, limit) {
			return o.render(limit)
		}
	}
	return identified(event, limit)
}

// render writes the value with all its long strings, and those that flat
// containers become, cut to one length, the greatest that limit allows.
func (o *outline) render(limit int) []byte {
	type piece struct {
		start, end int
		quoted     []byte
	}
	var pieces []piece
	var lengths []int
	fixed := len(o.json)
	for i := 0; i < len(o.nodes); {
		n := &o.nodes[i]
		i++
		if !n.text && !n.flat {
			continue
		}
		quoted := o.json[n.start:n.end]
		if n.flat {
			quoted = appendQuote(nil, quoted)
			i = n.next
		}
		pieces = append(pieces, piece{n.start, n.end, quoted})
		lengths = append(lengths, len(quoted))
		fixed -= n.size()
	}
	most := level(fixed, lengths, limit)
	dst := make([]byte, 0, limit)
	done := 0
	for _, p := range pieces {
		dst = append(dst, o.json[done:p.start]...)
		done = p.end
		if len(p.quoted) > most {
			dst = appendCut(dst, p.quoted, most)
		} else { // also where it was to become a string, and there is room after all
			dst = append(dst, o.json[p.start:p.end]...)
		}
	}
	return append(dst, o.json[done:]...)
}

// identity are the fields that say what an event belongs to, most telling first.
var identity = [...]string{
	"hook_event_name", "type", "session_id", "sessionID", "thread-id", "turn-id", "conversation_id", "transcript_path",
}

// identified returns an object of those fields of identity that fit, if they are
// strings, and the event's text, cut.
func identified(event []byte, limit int) []byte {
	const rest = `"shortened":`
	var found [len(identity)]jsontext.Value
	_ = eachMember(event, func(name, value jsontext.Value) error { // event is valid
		for i, want := range identity {
			if found[i] == nil && value.Kind() == '"' && isName(name, want) {
				found[i] = value
			}
		}
		return nil
	})
	dst := append(make([]byte, 0, limit), '{')
	for i, value := range found {
		if value == nil {
			continue
		}
		need := len(identity[i]) + len(`"":,`) + len(value)
		if len(dst)+need+len(rest)+minString+len("}") > limit {
			continue
		}
		dst = append(appendQuote(dst, identity[i]), ':')
		dst = append(append(dst, value...), ',')
	}
	dst = append(dst, rest...)
	dst = appendCut(dst, appendQuote(nil, event), limit-len(dst)-len("}"))
	return append(dst, '}')
}
