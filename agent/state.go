package agent

// State is what an agent does for a project.
type State string

const (
	StateServing State = "serving" // watched: a drop is folded at once
	StatePolling State = "polling" // looked at every second, for it cannot be watched
	StateMissing State = "missing" // the project, or its .spool, is not there
	StateHeld    State = "held"    // another agent serves the project; this one waits
	StateError   State = "error"   // something is wrong; it is tried again
	StateStopped State = "stopped" // no agent serves the project
)

// NeedsAttention reports whether a person should look at such a project: it is
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
