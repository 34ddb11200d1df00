package agent

import (
	"encoding/json"
	"unicode/utf8"
)

// State is what an agent does for a project.
type State string

const (
	StateServing State = "serving" // watched: a drop is folded at once
	StatePolling State = "polling" // scanned every second, for it cannot be watched
	StateMissing State = "missing" // the project, or its .spool, is not there
	StateHeld    State = "held"    // another agent serves the project; this one waits
	StateError   State = "error"   // something is wrong; it is tried again
	StateStopped State = "stopped" // no agent serves the project
)

// NeedsAttention reports whether such a project needs a person: it is
// not served, though it ought to be.
func (s State) NeedsAttention() bool { return s == StateMissing || s == StateError }

// ProjectState is what an agent says of one of its projects.
type ProjectState struct {
	Path  string `json:"path"` // of the project's directory, absolute
	State State  `json:"state"`
	Error string `json:"error"` // why the state is not Serving, for people; else ""

	// SameAs is another path of the same directory, under which this agent
	// serves it; "" if there is none. Then State and Error say nothing.
	SameAs string `json:"same_as,omitempty"`
}

// JSON has no strings but Unicode's, and a path is any bytes. One that is not
// UTF-8 therefore stands in the JSON twice: fit to be read in "path", and as it
// is, base64, in "path_bytes".

type plainState ProjectState

type exactState struct {
	plainState
	PathBytes   []byte `json:"path_bytes,omitempty"`
	SameAsBytes []byte `json:"same_as_bytes,omitempty"`
}

// MarshalJSON keeps paths that are not UTF-8.
func (s ProjectState) MarshalJSON() ([]byte, error) {
	return json.Marshal(exactState{plainState(s), PathBytes(s.Path), PathBytes(s.SameAs)})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (s *ProjectState) UnmarshalJSON(data []byte) error {
	var e exactState
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	if e.PathBytes != nil {
		e.Path = string(e.PathBytes)
	}
	if e.SameAsBytes != nil {
		e.SameAs = string(e.SameAsBytes)
	}
	*s = ProjectState(e.plainState)
	return nil
}

// PathBytes returns the bytes of a path that JSON cannot say as a string, else
// nil.
func PathBytes(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}
