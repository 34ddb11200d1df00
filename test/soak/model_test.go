//go:build linux

package soak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// project is one of the projects, and what is known of its signals.
type project struct {
	name string

	// life is held by whoever uses the project, and alone by who deletes or
	// moves it: so that it is certain which signals a deleted spool had.
	life sync.RWMutex
	path string

	mu sync.Mutex
	account
	past map[string]string // what became of the signals that are no longer pending
	next int
	errs []string
}

// account is of one spool: it begins anew when that is deleted.
type account struct {
	pending  map[string]bool // signals that nobody has been given
	maybe    map[string]bool // those among them that a consumer was killed over
	dropped  int64           // signals that came as drops
	bad      int64           // drops that are no signals
	appended int64           // signals that strangers put into the queue
	taken    int64           // and took out of it
	drained  int64           // signals that consumers acknowledged
}

func newAccount() account {
	return account{pending: map[string]bool{}, maybe: map[string]bool{}}
}

func newProject(name, path string) *project {
	return &project{name: name, path: path, account: newAccount(), past: map[string]string{}}
}

// give makes up a signal. It may be handed out from now on.
func (p *project) give(count *int64) (id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	*count++
	id = fmt.Sprintf("%s-%d", p.name, p.next)
	p.pending[id] = true
	return id
}

// rejectable notes a drop that must be rejected.
func (p *project) rejectable() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad++
}

// took notes what somebody was handed: lines of the queue.
func (p *project) took(who string, count *int64, lines []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.signals(lines) {
		if !p.pending[id] {
			p.errs = append(p.errs, fmt.Sprintf("signal %s was given to %s, and had been %s", id, who, or(p.past[id], "made by nobody")))
			continue
		}
		delete(p.pending, id)
		delete(p.maybe, id)
		p.past[id] = "given to " + who
		*count++
	}
}

// tookPerhaps notes what was printed by a consumer that was killed: it may have
// been acknowledged, and if not it comes again.
func (p *project) tookPerhaps(lines []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := bytes.LastIndexByte(lines, '\n'); i >= 0 {
		for _, id := range p.signals(lines[:i+1]) {
			p.maybe[id] = p.pending[id]
		}
	}
}

// deleted says that the spool is gone with all that it had.
func (p *project) deleted() (signals int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.pending {
		p.past[id] = "deleted with its spool"
	}
	signals = len(p.pending)
	p.account = newAccount()
	return signals
}

// signals are the names of those in some lines of a queue.
func (p *project) signals(lines []byte) (ids []string) {
	for line := range bytes.Lines(lines) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue // an interrupted change leaves blank lines to strangers
		}
		var signal struct{ Payload string }
		if err := json.Unmarshal(line, &signal); err != nil {
			p.errs = append(p.errs, fmt.Sprintf("somebody was given a broken line: %v: %q", err, line))
			continue
		}
		_, id, _ := strings.Cut(signal.Payload, "<")
		id, _, _ = strings.Cut(id, ">")
		ids = append(ids, id)
	}
	return ids
}

// totals is a project's part of "agent status --json".
type totals struct {
	Path, State, Error                  string
	Queued, Incoming, Replies, Rejected int64
	Ledger                              struct{ Folded, Returned, External, Drained, Evicted, Rejected int64 }
}

func (t totals) quiet() bool { return t.Queued == 0 && t.Incoming == 0 && t.Replies == 0 }

// check compares the account with the ledger, when the project is at rest and
// its queue is empty.
func (p *project) check(t totals) (wrong []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wrong = p.errs
	unlike := func(what string, got, want int64) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s: %d, not %d", what, got, want))
		}
	}
	l := t.Ledger
	unlike("folded + returned + external", l.Folded+l.Returned+l.External, t.Queued+l.Drained+l.Evicted)
	unlike("external", l.External, p.appended-p.taken)
	// Of a long backlog only the newest are read. What is no signal, and was
	// among the others, is folded and evicted like them.
	unread := p.bad - l.Rejected
	if unread < 0 || unread > l.Evicted {
		wrong = append(wrong, fmt.Sprintf("rejected: %d, of %d that are no signals", l.Rejected, p.bad))
	}
	unlike("folded", l.Folded, p.dropped+unread)
	evicted := l.Evicted - unread
	// What was neither handed out nor deleted must have been evicted. Of what
	// a consumer was killed over, it cannot be known.
	missing, unsure := int64(len(p.pending)), int64(0)
	for id := range p.maybe {
		if p.pending[id] {
			unsure++
		}
	}
	if evicted > missing || evicted < missing-unsure {
		wrong = append(wrong, fmt.Sprintf("evicted: %d; %d signals are missing, of which %d were perhaps given to killed consumers", evicted, missing, unsure))
	}
	unlike("drained - returned", l.Drained-l.Returned, p.drained+missing-evicted)
	return wrong
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
