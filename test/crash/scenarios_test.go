//go:build linux && tools

package crash

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// program is what is run, killed and started again.
type program struct {
	argv []string
	env  []string
}

// scenario is one thing to be interrupted.
type scenario struct {
	name  string
	cap   int
	setup func(w *world)
	want  outcome
	drive driver
	// few: it makes thousands of calls, of which a spread must do.
	few bool
}

// driver is how a scenario's operation is run.
type driver interface {
	// program is what does the operation.
	program(w *world) program
	// done is when a program that serves has done it, or nil.
	done(w *world) func(log string) bool
	// after a run that may have been cut short: what was handed out?
	after(w *world, r result)
	// finish starts the program again, lets it do its work, and claims the replies.
	finish(w *world)
}

// helper drives the queue by a process of this test's own.
type helper string

func (h helper) program(w *world) program {
	self, err := os.Executable()
	w.must(err)
	return program{argv: []string{self}, env: []string{opEnv + "=" + string(h), projectEnv + "=" + w.dir, capEnv + "=" + strconv.Itoa(w.cap)}}
}

func (h helper) done(*world) func(string) bool { return nil }
func (h helper) after(*world, result)          {}

func (h helper) finish(w *world) {
	w.t.Helper()
	w.must(operate(w.dir, w.cap, string(h)))
	if h == answerOp {
		w.claim()
	}
}

// claim takes the answer to the request, and acknowledges it.
func (w *world) claim() {
	w.t.Helper()
	name := w.path("control", request+".signals")
	w.consumed = append(w.consumed, w.signals(w.read(name))...)
	w.must(os.Remove(name))
}

// drainCommand drives "agent drain" where no agent runs.
type drainCommand struct{}

func (drainCommand) program(w *world) program {
	return program{argv: []string{agenttest.Binary(w.t), "drain", "--timeout", "4m", "--project", w.dir}}
}

func (drainCommand) done(*world) func(string) bool { return nil }

// after: what was printed is the consumer's if it is nowhere else.
func (drainCommand) after(w *world, r result) {
	w.t.Helper()
	if _, n, ok := strings.Cut(r.stderr, "back in the queue: "); ok {
		n, _, _ := strings.Cut(n, " ")
		back, err := strconv.Atoi(n)
		w.must(err)
		w.returned += back
	}
	out := r.stdout
	if r.status != 0 {
		out = out[:strings.LastIndexByte(out, '\n')+1]
	}
	ids := w.signals(out)
	if len(ids) == 0 {
		return
	}
	if r.status == 0 {
		w.consumed = append(w.consumed, ids...)
		return
	}
	disk := w.read(w.queuePath())
	for _, name := range w.names("control") {
		disk += w.read(w.path("control", name))
	}
	disk += w.hidden()
	there := 0
	for _, id := range ids {
		if strings.Contains(disk, line(id)) {
			there++
		}
	}
	switch {
	case there == 0: // acknowledged
		w.consumed = append(w.consumed, ids...)
	case there == len(ids):
		if strings.Contains(r.stderr, "return to the queue after reply_ttl") {
			w.returned += len(ids) // the next holder of the lock completes that
		}
	case len(ids) > w.cap && there == w.cap: // given back, and too many for the queue
	default:
		w.fatalf("of the %d signals that were printed, %d are still on the disk", len(ids), there)
	}
}

func (d drainCommand) finish(w *world) {
	w.t.Helper()
	// A reply whose consumer was killed falls due and comes with the next.
	for range 3 {
		r := w.run(d.program(w), nil, nil)
		if r.status != 0 {
			w.fatalf("drain failed: %s", r.stderr)
		}
		d.after(w, r)
		w.returned += w.age()
	}
}

// agentCommand drives "agent run".
type agentCommand struct {
	asks bool // there is a request
}

func (agentCommand) program(w *world) program {
	return program{argv: []string{agenttest.Binary(w.t), "run", "--project", w.dir}}
}

func (a agentCommand) done(w *world) func(log string) bool {
	return func(log string) bool { return strings.Contains(log, `"serving"`) && w.idle(a.asks) }
}

func (agentCommand) after(*world, result) {}

func (a agentCommand) finish(w *world) {
	w.t.Helper()
	if r := w.run(a.program(w), nil, a.done(w)); r.status != 0 {
		w.fatalf("the agent failed: %s", r.stderr)
	}
	if a.asks {
		w.claim()
	}
}

const malformed = `{"recorded_at":"when?","cwd":"/repo"}`

var scenarios = []scenario{
	{
		name: "the first fold", cap: 10, drive: helper(foldOp),
		setup: func(w *world) { w.create(); w.drop(1, 2, 3) },
		want:  outcome{queue: span(1, 3)},
	},
	{
		name: "a fold that appends", cap: 10, drive: helper(foldOp),
		setup: func(w *world) { w.fold(1, 2, 3); w.drop(4, 5, 6) },
		want:  outcome{queue: span(1, 6)},
	},
	{
		name: "a fold that trims", cap: 5, drive: helper(foldOp),
		setup: func(w *world) { w.fold(span(1, 5)...); w.drop(6, 7, 8) },
		want:  outcome{queue: span(4, 8)},
	},
	{
		name: "a fold of more drops than the cap", cap: 5, drive: helper(foldOp),
		setup: func(w *world) { w.fold(span(1, 5)...); w.drop(span(6, 17)...) },
		want:  outcome{queue: span(13, 17)},
	},
	{
		name: "a fold of far more drops than the cap", cap: 5, drive: helper(foldOp), few: true,
		setup: func(w *world) { w.fold(span(1, 5)...); w.drop(span(6, 4200)...) },
		want:  outcome{queue: span(4196, 4200)},
	},
	{
		name: "a malformed drop", cap: 10, drive: helper(foldOp),
		setup: func(w *world) {
			w.fold(1, 2)
			w.drop(3)
			w.dropBad("bad.json", "{no json", 4)
			w.drop(5)
		},
		want: outcome{queue: []int{1, 2, 3, 5}},
	},
	{
		name: "only malformed drops", cap: 10, drive: helper(foldOp),
		setup: func(w *world) {
			w.fold(1, 2)
			w.dropBad("bad.json", "{no json", 4)
			w.dropBad("worse.json", "", 5)
		},
		want: outcome{queue: []int{1, 2}},
	},
	{
		name: "malformed lines of the queue", cap: 10, drive: helper(foldOp),
		setup: func(w *world) {
			w.fold(1, 2)
			w.scribble(malformed + "\n\n")
			w.fold(3)
			w.scribble(malformed + "\n\n" + malformed[:20])
			w.bad = []string{malformed, malformed, malformed[:20]}
			w.drop(4, 5)
		},
		want: outcome{queue: span(1, 5)},
	},
	{
		name: "the return of a reply", cap: 10, drive: helper(sweepOp),
		setup: func(w *world) { w.reply(1, 2, 3); w.fold(4, 5, 6) },
		want:  outcome{queue: span(1, 6)},
	},
	{
		name: "the return of a reply to a full queue", cap: 5, drive: helper(sweepOp),
		setup: func(w *world) { w.reply(1, 2, 3); w.fold(4, 5, 6) },
		want:  outcome{queue: span(2, 6)},
	},
	{
		name: "the return of a reply to an empty queue", cap: 5, drive: helper(sweepOp),
		setup: func(w *world) { w.reply(1, 2, 3) },
		want:  outcome{queue: span(1, 3)},
	},
	{
		name: "the answer to a request", cap: 10, drive: helper(answerOp),
		setup: func(w *world) { w.fold(1, 2, 3); w.drop(4, 5); w.ask() },
		want:  outcome{consumed: span(1, 5)},
	},
	{
		name: "the answer to a request, with rejects", cap: 10, drive: helper(answerOp),
		setup: func(w *world) {
			w.fold(1, 2, 3)
			w.scribble(malformed + "\n")
			w.bad = []string{malformed}
			w.ask()
		},
		want: outcome{consumed: span(1, 3)},
	},
	{
		name: "agent drain, no agent", cap: 10, drive: drainCommand{},
		setup: func(w *world) { w.fold(1, 2, 3); w.drop(4, 5) },
		want:  outcome{consumed: span(1, 5)},
	},
	{
		name: "agent drain, with a reply to return and a full queue", cap: 5, drive: drainCommand{},
		setup: func(w *world) { w.reply(1, 2); w.fold(3, 4); w.drop(5, 6) },
		want:  outcome{consumed: span(2, 6)},
	},
	{
		name: "agent run that folds and trims", cap: 5, drive: agentCommand{},
		setup: func(w *world) {
			w.fold(span(1, 5)...)
			w.drop(6, 7)
			w.dropBad("bad.json", "{no json", 7)
			w.drop(8)
		},
		want: outcome{queue: span(4, 8)},
	},
	{
		name: "agent run that answers a request", cap: 10, drive: agentCommand{asks: true},
		setup: func(w *world) { w.fold(1, 2, 3); w.drop(4, 5); w.ask() },
		want:  outcome{consumed: span(1, 5)},
	},
	{
		name: "agent run that returns a reply", cap: 5, drive: agentCommand{},
		setup: func(w *world) { w.reply(1, 2, 3); w.fold(4, 5, 6) },
		want:  outcome{queue: span(2, 6)},
	},
}

// scribble appends to the queue what does not belong there.
func (w *world) scribble(text string) {
	w.t.Helper()
	f, err := os.OpenFile(w.queuePath(), os.O_WRONLY|os.O_APPEND, 0)
	w.must(err)
	_, err = f.WriteString(text)
	w.must(errors.Join(err, f.Close()))
}

// begin makes the world of a scenario.
func (s *scenario) begin(t *testing.T, base, label string) *world {
	t.Helper()
	w := newWorld(t, base, s.cap)
	w.label = s.name + ": " + label
	s.setup(w)
	return w
}

// end finishes what was interrupted, and checks.
func (s *scenario) end(w *world, v visitor) {
	w.t.Helper()
	s.drive.finish(w)
	want := &s.want
	if v != nobody {
		want = nil
	}
	w.check(want)
	w.close()
}
