//go:build linux && long

package soak

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"sync"

	"spoolagent/internal/agenttest"
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
	dropped  int             // signals that came as drops
	bad      int             // drops that are no signals
	appended int             // signals that strangers put into the queue
	taken    int             // and took out of it
	drained  int             // signals that consumers acknowledged
}

func newAccount() account {
	return account{pending: map[string]bool{}, maybe: map[string]bool{}}
}

func newProject(name, path string) *project {
	return &project{name: name, path: path, account: newAccount(), past: map[string]string{}}
}

// spool is a path in the project's spool.
func (p *project) spool(elem ...string) string {
	return filepath.Join(append([]string{p.path, ".spool"}, elem...)...)
}

// give makes up a signal. It may be handed out from now on.
func (p *project) give(count *int) (id string) {
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
func (p *project) took(who string, count *int, lines []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.signals(lines) {
		if !p.pending[id] {
			p.errs = append(p.errs, fmt.Sprintf("signal %s was given to %s, and had been %s", id, who, cmp.Or(p.past[id], "made by nobody")))
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
	ids, err := agenttest.WholeNames(string(lines))
	if err != nil {
		p.errs = append(p.errs, fmt.Sprintf("somebody was given %v", err))
	}
	return ids
}

// check compares the account with the ledger, when the project is at rest and
// its queue is empty.
func (p *project) check(t agenttest.Project) (wrong []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wrong = p.errs
	unlike := func(what string, got, want int) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s: %d, not %d", what, got, want))
		}
	}
	l := t.Ledger
	if !t.Closes() {
		wrong = append(wrong, "the ledger does not close")
	}
	unlike("external", l.External, p.appended-p.taken)
	// An agent that is killed may not have counted what it has just rejected.
	if l.Folded != p.dropped || l.Rejected > p.bad {
		wrong = append(wrong, fmt.Sprintf("folded: %d, rejected: %d, of %d signals and %d others", l.Folded, l.Rejected, p.dropped, p.bad))
	}
	// What was neither handed out nor deleted must have been evicted. Of what
	// a consumer was killed over, it cannot be known.
	missing, unsure := len(p.pending), 0
	for id := range p.maybe {
		if p.pending[id] {
			unsure++
		}
	}
	if l.Evicted > missing || l.Evicted < missing-unsure {
		wrong = append(wrong, fmt.Sprintf("evicted: %d; %d signals are missing, of which %d were perhaps given to killed consumers", l.Evicted, missing, unsure))
	}
	unlike("drained - returned", l.Drained-l.Returned, p.drained+missing-l.Evicted)
	return wrong
}
