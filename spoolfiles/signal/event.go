package signal

import (
	"bytes"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Origin is what a drop's surroundings say: used where the drop itself is silent.
type Origin struct {
	Project    string    // the project's directory, for a drop without cwd
	ModTime    time.Time // the drop's modification time, for one without recorded_at
	MaxPayload int       // in bytes; 0 or less: no limit; less than MinPayload counts as MinPayload
}

// recordedAt is the modification time as a signal has it; what was before 1970
// is 1970.
func (o Origin) recordedAt() uint64 { return uint64(max(0, o.ModTime.Unix())) }

// cwd is the project's directory as text: a path that is not UTF-8 cannot stand
// in a signal as it is.
func (o Origin) cwd() string { return strings.ToValidUTF8(o.Project, "\ufffd") }

// DecodeDrop makes a signal of the content of a drop: one JSON object in UTF-8,
// with nothing but JSON's white space around it. The error says what is wrong
// with the drop; the signal is then empty.
//
// An object with a string hook_event_name is a raw event, and so is a
// notification of Codex: a string type, and turn-id or thread-id. The signal gets
// tool_name and cwd from the event if it has them as strings (cwd: not empty).
// Without cwd it is the first of workspace_roots, as Cursor has it. The signal is
// recorded at the event's timestamp if that is a string as in RFC 3339, as Gemini
// has it, from 1970 on; else at the file's time. Its payload is the event without
// that tool_name and cwd, in order, as compact JSON with every number and string
// spelt as it came: workspace_roots and timestamp, which say more than the signal
// does, stay. What JSON allows is kept, also a name that comes twice and half a
// surrogate pair; where it is a field of the signal that comes twice, the last
// counts.
//
// Any other object is a signal, with the fields of a line and the strictness of
// ParseLine, but recorded_at and cwd may be missing, and one of tool_name and
// payload must be there.
//
// A payload longer than o.MaxPayload is shortened. A plain one keeps its head,
// cut between two characters, and ends in the marker
//
//	…[12345 bytes cut]…
//
// which counts the bytes that went. A raw event's payload remains a JSON object:
// its longest strings lose their middle to such a marker, all down to one common
// length, so that short ones stay whole. The count is of the string's bytes once
// its escapes are undone. Where the strings are not what makes it long, objects
// and arrays, the largest first, become strings of their own JSON text, and these
// are cut. If even the outermost object has too many members for that, it keeps
// the ones that identify the event, and its whole text in a string "shortened".
//
// What it returns comes back the same from AppendLine and ParseLine. Any number
// of goroutines may call it at once.
func DecodeDrop(data []byte, o Origin) (Signal, error) {
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		return Signal{}, errors.New("begins with a byte order mark")
	}
	if !utf8.Valid(data) {
		return Signal{}, errNotUTF8
	}
	var members []member
	err := eachMember(data, func(name, value jsontext.Value) error {
		members = append(members, member{name, value})
		return nil
	})
	if err != nil {
		return Signal{}, err
	}
	if o.MaxPayload > 0 {
		o.MaxPayload = max(o.MaxPayload, MinPayload)
	}
	if isEvent(members) {
		return eventSignal(members, o)
	}
	return plainSignal(members, o)
}

// member is one member of a JSON object as it stands in the text.
type member struct{ name, value jsontext.Value }

func isEvent(members []member) bool {
	var codexType, codexID bool
	for _, m := range members {
		switch {
		case isName(m.name, "hook_event_name"):
			if m.value.Kind() == '"' {
				return true
			}
		case isName(m.name, "type"):
			codexType = codexType || m.value.Kind() == '"'
		case isName(m.name, "turn-id"), isName(m.name, "thread-id"):
			codexID = true
		}
	}
	return codexType && codexID
}

func eventSignal(members []member, o Origin) (Signal, error) {
	s := Signal{RecordedAt: o.recordedAt()}
	var root string
	tool, dir := -1, -1 // the members taken
	size := len("{}")
	for i, m := range members {
		size += len(m.name) + len(m.value) + len(":,")
		switch {
		case isName(m.name, "tool_name"):
			if name, ok := unquote(m.value); ok {
				s.ToolName, tool = &name, i
			}
		case isName(m.name, "cwd"):
			if path, ok := unquote(m.value); ok && path != "" {
				s.CWD, dir = path, i
			}
		case isName(m.name, "workspace_roots"):
			if path := firstString(m.value); path != "" {
				root = path
			}
		case isName(m.name, "timestamp"):
			text, _ := unquote(m.value)
			if t, err := time.Parse(time.RFC3339, text); err == nil && t.Unix() >= 0 {
				s.RecordedAt = uint64(t.Unix())
			}
		}
	}
	if dir < 0 {
		if s.CWD = root; root == "" {
			s.CWD = o.cwd()
		}
	}
	rest := append(make(jsontext.Value, 0, size), '{')
	for i, m := range members {
		if i == tool || i == dir {
			continue
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		rest = append(append(append(rest, m.name...), ':'), m.value...)
	}
	rest = append(rest, '}')
	if err := rest.Compact(); err != nil {
		return Signal{}, syntaxError(err)
	}
	if o.MaxPayload > 0 && len(rest) > o.MaxPayload {
		rest = shortenEvent(rest, o.MaxPayload)
	}
	text := string(rest)
	s.Payload = &text
	return s, nil
}

func plainSignal(members []member, o Origin) (Signal, error) {
	var f fields
	for _, m := range members {
		if err := f.add(m.name, m.value); err != nil {
			return Signal{}, err
		}
	}
	if f.ToolName == nil && f.Payload == nil {
		return Signal{}, errors.New("neither a signal nor a hook event: no tool_name, payload or hook_event_name")
	}
	if f.seen&hasTime == 0 {
		f.RecordedAt = o.recordedAt()
	}
	if f.seen&hasCWD == 0 {
		f.CWD = o.cwd()
	}
	if f.Payload != nil && o.MaxPayload > 0 && len(*f.Payload) > o.MaxPayload {
		text := shortenText(*f.Payload, o.MaxPayload)
		f.Payload = &text
	}
	return f.Signal, nil
}
