package signal

import (
	"bytes"
	"errors"
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

// limit is the greatest length of a payload.
func (o Origin) limit() int {
	if o.MaxPayload <= 0 {
		return math.MaxInt
	}
	return max(o.MaxPayload, MinPayload)
}

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
//
// but the last four only if it has neither payload nor recorded_at, which belong
// to a signal.
//
// The signal's tool_name is the event's tool_name, else its toolName, else its
// agent_action_name; its cwd is the event's cwd, else its working_dir, else that
// of tool_info, else the first of workspace_roots, as Cursor has it. Only strings
// count, for cwd only those that are not empty. The signal is recorded at the
// event's timestamp if that is a string as in RFC 3339, from 1970 on; else at the
// file's time. Its payload is the event without the tool_name and cwd that the
// signal has, in order, as compact JSON with every number and string spelt as it
// came; what says more than the signal does stays: agent_action_name, tool_info,
// workspace_roots and timestamp. With a source, it begins with spool_source. What
// JSON allows is kept, also a name that comes twice; where it is a field of the
// signal that comes twice, the last counts. But half a surrogate pair, which is
// no text, becomes \ufffd.
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
	e := event{
		rest: make([]byte, 0, len(data)+len(o.Source)+32),
		at:   o.recordedAt(),
		is:   map[string]bool{},
		says: map[string]excerpt{},
	}
	if o.Source != "" {
		e.rest = appendQuote(append(e.rest, `,"spool_source":`...), o.Source)
	}
	var f fields
	var unfit error
	err := eachMember(data, func(name, value jsontext.Value, _ int) error {
		e.add(name, value)
		if unfit == nil {
			unfit = f.add(name, value)
		}
		return nil
	})
	switch {
	case err != nil:
		return Signal{}, err
	case e.isEvent():
		return e.signal(o)
	case unfit != nil:
		return Signal{}, unfit
	case f.ToolName == nil && f.Payload == nil:
		return Signal{}, errors.New("neither a signal nor a hook event: no tool_name, payload or hook_event_name")
	}
	if !f.seen[recordedAt] {
		f.RecordedAt = o.recordedAt()
	}
	if !f.seen[cwd] {
		f.CWD = o.cwd()
	}
	if limit := o.limit(); f.Payload != nil && len(*f.Payload) > limit {
		f.Payload = new(shortenText(*f.Payload, limit))
	}
	return f.Signal, nil
}

// event gathers a raw event from the members of its object.
type event struct {
	rest []byte             // the members, each with a comma before it
	at   uint64             // recorded_at
	is   map[string]bool    // the fields of forms that have the type they need
	says map[string]excerpt // by field, the last that says anything
}

// excerpt is what a member says, and the part of rest that then goes.
type excerpt struct {
	text     string
	from, to int
}

// formFields are the fields that tell an event from a signal, and what they are:
// 0 for anything.
var formFields = map[string]jsontext.Kind{
	"hook_event_name": '"', "type": '"', "turn-id": 0, "thread-id": 0, "hookEventName": '"', "event": '"', "working_dir": '"',
	"agent_action_name": '"', "tool_info": '{', "sessionId": '"', "toolName": '"', "toolArgs": 0, "payload": 0, "recorded_at": 0,
}

func (e *event) isEvent() bool {
	switch is := e.is; {
	case is["hook_event_name"], is["type"] && (is["turn-id"] || is["thread-id"]):
		return true
	case is["payload"], is["recorded_at"]:
		return false
	default:
		return is["hookEventName"] || is["event"] && is["working_dir"] || is["agent_action_name"] && is["tool_info"] ||
			is["sessionId"] || is["toolName"] && is["toolArgs"]
	}
}

// add takes one member.
func (e *event) add(name, value jsontext.Value) {
	start := len(e.rest)
	e.rest = append(append(e.rest, ','), name...)
	e.rest = append(append(e.rest, ':'), value...)
	key, _ := unescape(name)
	if kind, ok := formFields[string(key)]; ok && (kind == 0 || kind == value.Kind()) {
		e.is[string(key)] = true
	}
	x := excerpt{from: len(e.rest), to: len(e.rest)} // stays
	ok := false
	switch string(key) {
	case "tool_name", "toolName", "cwd", "working_dir":
		x.text, ok = unquote(value)
		x.from = start
	case "agent_action_name":
		x.text, _ = unquote(value)
	case "timestamp":
		text, _ := unquote(value)
		if t, err := time.Parse(time.RFC3339, text); err == nil && t.Unix() >= 0 {
			e.at = uint64(t.Unix())
		}
	case "tool_info":
		x.text = cwdOf(value)
	case "workspace_roots":
		x.text = firstString(value)
	}
	if x.text != "" || ok && string(key) == "tool_name" {
		e.says[string(key)] = x
	}
}

// first returns what the first of the fields says that says anything.
func (e *event) first(fields ...string) (excerpt, bool) {
	for _, field := range fields {
		if x, ok := e.says[field]; ok {
			return x, true
		}
	}
	return excerpt{}, false
}

func (e *event) signal(o Origin) (Signal, error) {
	s := Signal{RecordedAt: e.at, CWD: o.cwd()}
	tool, ok := e.first("tool_name", "toolName", "agent_action_name")
	if ok {
		s.ToolName = new(tool.text)
	}
	dir, ok := e.first("cwd", "working_dir", "tool_info", "workspace_roots")
	if ok {
		s.CWD = dir.text
	}
	if tool.from < dir.from {
		tool, dir = dir, tool // what is later goes first, so that the other does not move
	}
	e.rest = slices.Delete(e.rest, tool.from, tool.to)
	e.rest = slices.Delete(e.rest, dir.from, dir.to)
	object := append(jsontext.Value(e.rest), '}')
	if len(e.rest) == 0 {
		object = jsontext.Value("{}")
	}
	object[0] = '{' // for the first comma
	halves := bytes.Contains(object, []byte(`\u`)) && !object.IsValid(jsontext.AllowDuplicateNames(true))
	if err := object.Compact(jsontext.PreserveRawStrings(!halves)); err != nil {
		return Signal{}, syntaxError(err)
	}
	if limit := o.limit(); len(object) > limit {
		object = shorten(object, limit)
	}
	s.Payload = new(string(object))
	return s, nil
}
