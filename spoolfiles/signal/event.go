package signal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
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
	Source     string    // the tool that a raw event came from; "" if unknown
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
// An object is a raw event if it has the fields of one of these forms:
//
//   - a string hook_event_name, as most tools have it
//   - a string type, and turn-id or thread-id: a notification of Codex
//   - a string hookEventName: VS Code
//   - the strings event and working_dir: Goose
//   - a string agent_action_name and an object tool_info: Windsurf
//   - a string sessionId, or a string toolName and toolArgs: Copilot CLI
//   - a string tool_name and tool_input: others that take after Claude Code
//
// but the last five only if it has neither payload nor recorded_at, which belong
// to a signal.
//
// The signal's tool_name is the event's tool_name, else its toolName, else its
// agent_action_name; its cwd is the event's cwd, else its working_dir, else that
// of tool_info, else the first of workspace_roots, as Cursor has it. Only strings
// that are not empty count. The signal is recorded at the event's timestamp if
// that is a string as in RFC 3339, from 1970 on; else at the file's time. Its
// payload is the event without the tool_name and cwd that the signal has, in
// order, as compact JSON; agent_action_name, tool_info, workspace_roots and
// timestamp, which say more than the signal does, stay. With a source, it begins
// with spool_source. A name that comes twice is kept; where it is a field of the
// signal, the last counts. Numbers and strings are spelt as they came, but half a
// surrogate pair, which is no text, becomes U+FFFD, and then every string is
// spelt as AppendLine does.
//
// Any other object is a signal, with the fields of a line and the strictness of
// ParseLine, but recorded_at and cwd may be missing, and one of tool_name and
// payload must be there.
//
// A payload longer than o.MaxPayload is shortened: see shorten.
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
	if o.MaxPayload <= 0 {
		o.MaxPayload = math.MaxInt
	}
	o.MaxPayload = max(o.MaxPayload, MinPayload)
	ms := make(members, 0, 16)
	err := eachMember(data, func(name, value jsontext.Value) error {
		if len(ms) == maxMembers {
			return fmt.Errorf("has more than %d fields", maxMembers)
		}
		key, _ := unescape(name)
		ms = append(ms, member{key, name, value})
		return nil
	})
	switch {
	case err != nil:
		return Signal{}, err
	case ms.isEvent():
		return ms.event(o, len(data))
	default:
		return ms.signal(o)
	}
}

// maxMembers bounds the memory that a drop takes.
const maxMembers = 1 << 16

// members are those of a drop's object, as they stand in the text.
type members []member

type member struct {
	key         []byte // the name, unescaped
	name, value jsontext.Value
}

// has reports whether there is such a member; kind 0 is any.
func (ms members) has(key string, kind jsontext.Kind) bool {
	return slices.ContainsFunc(ms, func(m member) bool {
		return string(m.key) == key && (kind == 0 || kind == m.value.Kind())
	})
}

// last returns the text that read finds in the last member with the first of the
// keys that has one, and the index of this member, -1 if there is none.
func (ms members) last(read func(jsontext.Value) string, keys ...string) (text string, at int) {
	for _, key := range keys {
		for i, m := range slices.Backward(ms) {
			if string(m.key) == key {
				if text := read(m.value); text != "" {
					return text, i
				}
			}
		}
	}
	return "", -1
}

func (ms members) isEvent() bool {
	switch {
	case ms.has("hook_event_name", '"'), ms.has("type", '"') && (ms.has("turn-id", 0) || ms.has("thread-id", 0)):
		return true
	case ms.has("payload", 0), ms.has("recorded_at", 0):
		return false
	}
	return ms.has("hookEventName", '"') || ms.has("event", '"') && ms.has("working_dir", '"') ||
		ms.has("agent_action_name", '"') && ms.has("tool_info", '{') ||
		ms.has("sessionId", '"') || ms.has("toolName", '"') && ms.has("toolArgs", 0) ||
		ms.has("tool_name", '"') && ms.has("tool_input", 0)
}

// event makes a signal of an event whose text has size bytes.
func (ms members) event(o Origin, size int) (Signal, error) {
	tool, toolAt := ms.last(textOf, "tool_name", "toolName")
	dir, dirAt := ms.last(textOf, "cwd", "working_dir")
	action, _ := ms.last(textOf, "agent_action_name")
	toolDir, _ := ms.last(cwdOf, "tool_info")
	root, _ := ms.last(firstString, "workspace_roots")
	when, _ := ms.last(textOf, "timestamp")

	s := Signal{RecordedAt: o.recordedAt(), CWD: cmp.Or(dir, toolDir, root, o.cwd())}
	if tool = cmp.Or(tool, action); tool != "" {
		s.ToolName = &tool
	}
	if t, err := time.Parse(time.RFC3339, when); err == nil && t.Unix() >= 0 {
		s.RecordedAt = uint64(t.Unix())
	}
	object := append(make(jsontext.Value, 0, size+64), '{')
	if o.Source != "" {
		object = append(appendQuote(append(object, `"spool_source":`...), o.Source), ',')
	}
	for i, m := range ms {
		if i != toolAt && i != dirAt {
			object = append(append(append(append(object, m.name...), ':'), m.value...), ',')
		}
	}
	object = append(bytes.TrimSuffix(object, []byte(",")), '}')
	halves := bytes.Contains(object, []byte(`\u`)) && !object.IsValid(jsontext.AllowDuplicateNames(true))
	if err := object.Compact(jsontext.PreserveRawStrings(!halves)); err != nil {
		return Signal{}, syntaxError(err)
	}
	if len(object) > o.MaxPayload {
		object = shorten(object, o.MaxPayload)
	}
	s.Payload = new(string(object))
	return s, nil
}

// signal makes a signal of one that is written as such.
func (ms members) signal(o Origin) (Signal, error) {
	f := fields{Signal: Signal{RecordedAt: o.recordedAt(), CWD: o.cwd()}}
	for _, m := range ms {
		if err := f.add(m.name, m.value); err != nil {
			return Signal{}, err
		}
	}
	if f.ToolName == nil && f.Payload == nil {
		return Signal{}, errors.New("neither a signal nor a hook event: no tool_name, payload or hook_event_name")
	}
	if f.Payload != nil && len(*f.Payload) > o.MaxPayload {
		f.Payload = new(shortenText(*f.Payload, o.MaxPayload))
	}
	return f.Signal, nil
}
