package signal

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Origin is what a drop's surroundings say: used where the drop itself is silent.
type Origin struct {
	Project    string    // the project's directory, for a drop without cwd
	ModTime    time.Time // the drop's modification time, for one without recorded_at
	MaxPayload int       // in bytes; 0 or less: no limit; less than MinPayload counts as MinPayload
	Source     string    // the tool that a raw event came from; "" if unknown
}

// signal has what the surroundings say: the modification time, where what was
// before 1970 is 1970, and the directory as text, since a path that is not UTF-8
// cannot stand in a signal as it is.
func (o Origin) signal() Signal {
	return Signal{RecordedAt: uint64(max(0, o.ModTime.Unix())), CWD: strings.ToValidUTF8(o.Project, "\ufffd")}
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
//   - the strings event and one of working_dir and session_id: Goose
//   - a string agent_action_name and an object tool_info: Windsurf
//   - the strings hookName and taskId: Cline
//   - the strings conversationId and transcriptPath: Antigravity
//   - a string sessionId, or a string toolName and toolArgs: Copilot CLI
//   - a string tool_name and tool_input: others that take after Claude Code
//
// but the last seven only if it has neither payload nor recorded_at, which belong
// to a signal.
//
// The signal's tool_name is the event's tool_name, else its toolName, else its
// agent_action_name, else the name in toolCall; its cwd is the event's cwd, else
// its working_dir, else that of tool_info, else the first of workspace_roots, as
// Cursor has it, of workspaceRoots, as Cline has it, or of workspacePaths, as
// Antigravity has it. Only strings that are not empty count. The signal is
// recorded at the event's timestamp if that is a string as in RFC 3339, from 1970
// on; else at the file's time. Its payload is the event without the tool_name and
// cwd that the signal has, in order, as compact JSON; agent_action_name, toolCall,
// tool_info, workspace_roots, workspaceRoots, workspacePaths and timestamp, which
// say more than the signal does, stay. With a source, it begins with
// spool_source. A name that comes twice is kept; where it is a field of the
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
	if o.MaxPayload <= 0 {
		o.MaxPayload = math.MaxInt
	}
	o.MaxPayload = max(o.MaxPayload, MinPayload)
	ms, err := parse(data)
	if err != nil {
		return Signal{}, err
	}
	if ms.isEvent() {
		return ms.event(o, len(data))
	}
	s, err := ms.signal(o.signal())
	if err == nil && s.ToolName == nil && s.Payload == nil {
		return Signal{}, errors.New("neither a signal nor a hook event: no tool_name, payload or hook_event_name")
	}
	if s.Payload != nil && len(*s.Payload) > o.MaxPayload {
		s.Payload = new(shortenText(*s.Payload, o.MaxPayload))
	}
	return s, err
}

func (ms members) isEvent() bool {
	switch {
	case ms.has("hook_event_name", '"'), ms.has("type", '"') && (ms.has("turn-id", 0) || ms.has("thread-id", 0)):
		return true
	case ms.has("payload", 0), ms.has("recorded_at", 0):
		return false
	}
	return ms.has("hookEventName", '"') || ms.has("event", '"') && (ms.has("working_dir", '"') || ms.has("session_id", '"')) ||
		ms.has("agent_action_name", '"') && ms.has("tool_info", '{') ||
		ms.has("hookName", '"') && ms.has("taskId", '"') ||
		ms.has("conversationId", '"') && ms.has("transcriptPath", '"') ||
		ms.has("sessionId", '"') || ms.has("toolName", '"') && ms.has("toolArgs", 0) ||
		ms.has("tool_name", '"') && ms.has("tool_input", 0)
}

// event makes a signal of an event whose text has size bytes.
func (ms members) event(o Origin, size int) (Signal, error) {
	tool, toolAt := ms.last(member.text, "tool_name", "toolName")
	dir, dirAt := ms.last(member.text, "cwd", "working_dir")
	action, _ := ms.last(member.text, "agent_action_name")
	call, _ := ms.last(textIn("name"), "toolCall")
	toolDir, _ := ms.last(textIn("cwd"), "tool_info")
	root, _ := ms.last(member.firstText, "workspace_roots", "workspaceRoots", "workspacePaths")
	when, _ := ms.last(member.text, "timestamp")

	s := o.signal()
	s.CWD = cmp.Or(dir, toolDir, root, s.CWD)
	if tool = cmp.Or(tool, action, call); tool != "" {
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
