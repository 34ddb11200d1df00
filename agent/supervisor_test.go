package agent

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"spoolagent/internal/filelock"
)

// supervisor notes what it is told.
type supervisor struct {
	ready chan struct{}

	mu    sync.Mutex
	lines []string // notifyAlive only once in a row
}

func (s *supervisor) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.lines); line != notifyAlive || n == 0 || s.lines[n-1] != line {
		s.lines = append(s.lines, line)
	}
}

func (s *supervisor) said(line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		if strings.Contains(l, line) {
			return true
		}
	}
	return false
}

func (s *supervisor) tell(message string) {
	s.say(message)
	if message == notifyReady {
		s.ready <- struct{}{}
	}
}

func TestSupervisorIsTold(t *testing.T) {
	p, state := dir(t), dir(t)
	told := &supervisor{ready: make(chan struct{}, 10)}
	r := start(t, Config{User: true, StateDir: state, Notify: told.tell, AliveEvery: time.Millisecond})
	<-told.ready
	eventually(t, "the status line", func() bool { return told.said("STATUS=serving") })
	eventually(t, "the watchdog", func() bool { return told.said(notifyAlive) })
	registerNew(t, state, p)
	r.until(p, StateServing)
	must(t, r.end())
	if !told.said("STOPPING=1") {
		t.Errorf("never told that it stops, but %q", told.lines)
	}
}

// One that waits for another agent is ready, and alive all the time.
func TestWaitingServiceIsAlive(t *testing.T) {
	state := dir(t)
	first := start(t, Config{User: true, StateDir: state})
	eventually(t, "it serves the user's projects", func() bool {
		held, err := filelock.Held(filepath.Join(state, lockName()))
		return held && err == nil
	})
	told := &supervisor{ready: make(chan struct{}, 10)}
	start(t, Config{User: true, Service: true, StateDir: state, Notify: told.tell, AliveEvery: time.Hour})
	<-told.ready
	eventually(t, "it is alive", func() bool { return told.said(notifyAlive) && told.said("waiting: ") })
	must(t, first.end())
	<-told.ready
}
