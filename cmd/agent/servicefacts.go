package main

import (
	"context"
	"fmt"
	"time"

	"spoolagent/service"
)

// serviceFacts is how things are with the OS service.
type serviceFacts struct {
	Manager   string `json:"manager"`
	Installed bool   `json:"installed"`
	Enabled   bool   `json:"enabled"`
	Running   bool   `json:"running"`
	PID       int    `json:"pid"`
	Detail    string `json:"detail"` // in the manager's own words
	Binary    string `json:"binary"` // that it starts
	File      string `json:"file"`   // its definition
	Logs      string `json:"logs"`   // a command that shows the log
	Linger    string `json:"linger"` // "on", "off", or "" where there is no such thing
	Error     string `json:"error"`  // why it cannot be asked, or is not there on this system; else ""

	none bool // there is no such thing on this system
}

// servicePatience is how long the service is waited for.
const servicePatience = time.Second

// askService asks how the service is. What it returns waits for the answer, but
// not for a manager's command that cannot even be killed.
func askService(ctx context.Context) func() *serviceFacts {
	answer := make(chan *serviceFacts, 1)
	go func() { answer <- serviceNow(ctx) }()
	return func() *serviceFacts {
		select {
		case f := <-answer:
			return f
		case <-time.After(2 * servicePatience):
			return &serviceFacts{Error: "no answer"}
		}
	}
}

func serviceNow(ctx context.Context) *serviceFacts {
	s, err := service.New()
	if err != nil {
		return &serviceFacts{Error: oneLine(err), none: true}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, servicePatience, fmt.Errorf("no answer within %s", servicePatience))
	defer cancel()
	st, err := s.State(ctx)
	f := &serviceFacts{
		Manager: st.Manager, Installed: st.Installed, Enabled: st.Enabled, Running: st.Running, PID: st.PID,
		Detail: st.Detail, Binary: st.Binary, File: st.File, Logs: st.Logs, Linger: string(st.Linger),
	}
	switch {
	case err != nil:
		f.Error = oneLine(context.Cause(ctx))
	case st.Reach != nil:
		f.Error = oneLine(st.Reach)
	}
	return f
}
