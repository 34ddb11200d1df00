package queue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// These tests cut a transaction short after every single byte that it copies
// and between all other steps, let strangers at the queue, and recover.

// cutShort runs f, whose transactions break off after so many steps; a byte
// copied is a step. It reports whether f was cut.
func cutShort(q *Queue, after int64, f func()) (cut bool) {
	type crash struct{}
	q.step = func(_ string, n int64) int64 {
		if after <= 0 {
			panic(crash{})
		}
		if n == 0 {
			after--
			return 0
		}
		n = min(n, after)
		after -= n
		return n
	}
	defer func() {
		q.step = nil
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			cut = true
		}
	}()
	f()
	return false
}

// scene is a spool, and the account that the test keeps of it: each signal has
// a tool_name of its own.
type scene struct {
	testing.TB
	sp      *spoolfiles.Spool
	cap     int
	plain   bool
	clock   int64 // for drops' times
	made    map[string]bool
	taken   map[string]int  // by strangers
	mangled map[string]bool // lost among strangers
}

func newScene(t testing.TB, cap int) *scene {
	return &scene{TB: t, sp: project(t), cap: cap, made: map[string]bool{}, taken: map[string]int{},
		mangled: map[string]bool{}}
}

func (s *scene) queue() *Queue {
	q := New(s.sp, options(s.cap), nil)
	q.plain = s.plain
	return q
}

// exact reports whether recovery has evidence, and need not go by content.
func (s *scene) exact() bool { return !s.plain && bootID() != unknownBoot }

func (s *scene) fresh(kind string) string {
	name := fmt.Sprintf("%s%d", kind, len(s.made))
	s.made[name] = true
	return name
}

func signalLine(name string) string {
	return fmt.Sprintf(`{"recorded_at":7,"tool_name":"%s","cwd":"/"}`, name)
}

func (s *scene) drop(n int) {
	s.Helper()
	for range n {
		name, err := s.sp.Drop([]byte(signalLine(s.fresh("d"))))
		if err != nil {
			s.Fatal(err)
		}
		s.clock++
		at := time.Unix(1_700_000_000+s.clock, 0)
		if err := os.Chtimes(filepath.Join(s.sp.Incoming.Path(), name), at, at); err != nil {
			s.Fatal(err)
		}
	}
}

// The strangers. append and take are what the original does; appendTorn leaves
// the line feed off.

func (s *scene) write(text string) {
	s.Helper()
	f, err := os.OpenFile(queuePath(s.sp), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	// Strangers who spoil each other's lines are their own affair.
	if data, _ := os.ReadFile(queuePath(s.sp)); len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
		last := data[bytes.LastIndexByte(data, '\n')+1:]
		if wholeStrangers.Match(last) {
			text = "\n" + text
		}
	}
	if _, err := f.WriteString(text); err != nil {
		s.Fatal(err)
	}
	f.Close()
}

func (s *scene) append()     { s.write(signalLine(s.fresh("f")) + "\n") }
func (s *scene) appendTorn() { s.write(signalLine(s.fresh("f"))) }

var wholeStrangers = regexp.MustCompile(`"tool_name":"f[0-9]+","cwd":"/"}$`)

// lost finds the signals of a malformed line that strangers have spoilt: their
// own, and one of ours that lacked only its line feed when they appended.
var lost = regexp.MustCompile(`"tool_name":"(f[0-9]+)"|^{"recorded_at":7,"tool_name":"(d[0-9]+)","cwd":"/"}.`)

// take takes all, as the original's drain does.
func (s *scene) take() {
	for _, sig := range s.read() {
		s.taken[*sig.ToolName]++
	}
	if err := os.Truncate(queuePath(s.sp), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Fatal(err)
	}
}

// appendAtCap appends to a full queue, as the original does: it replaces the file.
func (s *scene) appendAtCap() {
	s.append()
	sigs := s.read()
	for len(sigs) > 20 {
		s.taken[*sigs[0].ToolName]++ // it evicts them
		sigs = sigs[1:]
	}
	var text []byte
	for _, sig := range sigs {
		text = append(sig.AppendLine(text), '\n')
	}
	tmp := filepath.Join(s.sp.Project, "rewritten")
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(tmp, queuePath(s.sp)); err != nil {
		s.Fatal(err)
	}
}

// read returns the signals of the queue, and takes note of those that its other
// lines were.
func (s *scene) read() (sigs []signal.Signal) {
	data, err := os.ReadFile(queuePath(s.sp))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		sig, err := signal.ParseLine(line)
		if err == nil {
			sigs = append(sigs, sig)
			continue
		}
		for _, m := range lost.FindAllSubmatch(bytes.TrimSpace(line), -1) {
			s.mangled[string(m[1])+string(m[2])] = true
		}
	}
	return sigs
}

// pending returns the newest record, and its cells, if its transaction is
// not finished; else nil.
func (s *scene) pending() (*record, []cell) {
	r, err := New(s.sp, options(s.cap), nil).newest()
	if err != nil {
		s.Fatal(err)
	}
	if r == nil || r.state != pending {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(s.sp.Root.Path(), recordName(r.Seq)))
	if err != nil {
		s.Fatal(err)
	}
	cells := make([]cell, r.cells())
	if _, err := binary.Decode(data[r.cellsAt():], binary.NativeEndian, cells); err != nil {
		s.Fatal(err)
	}
	return r, cells
}

// strangers are what may come between a crash and the recovery. Without
// evidence, that is promised only if nobody comes.
func strangers(s *scene) map[string]func() {
	if !s.exact() {
		return map[string]func(){"nobody": func() {}}
	}
	return map[string]func(){
		"nobody":       func() {},
		"take":         s.take,
		"append":       s.append,
		"append torn":  s.appendTorn,
		"take, append": func() { s.take(); s.append() },
		"append, take": func() { s.append(); s.take() },
		"take, much": func() {
			s.take()
			for range 12 {
				s.append()
			}
		},
		"much": func() {
			for range 12 {
				s.append()
			}
		},
		"append, take, torn": func() { s.append(); s.take(); s.appendTorn() },
	}
}

// recoverAll recovers, and checks that every signal is in one place.
func (s *scene) recoverAll() {
	s.Helper()
	q := s.queue()
	if err := q.Recover(context.Background()); err != nil {
		s.Fatalf("recovery: %v", err)
	}
	if r, _ := s.pending(); r != nil {
		s.Fatal("recovery has left a record")
	}
	where := map[string][]string{}
	note := func(place string, data []byte) {
		for line := range bytes.Lines(data) {
			if sig, err := signal.ParseLine(line); err == nil {
				where[*sig.ToolName] = append(where[*sig.ToolName], place)
			} else if err != signal.ErrBlank {
				s.Errorf("%s has the malformed line %q", place, line)
			}
		}
	}
	for _, dir := range []*spoolfiles.Dir{s.sp.Incoming, s.sp.Control} {
		entries, _ := os.ReadDir(dir.Path())
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir.Path(), e.Name()))
			if err != nil {
				s.Fatal(err)
			}
			note(filepath.Base(dir.Path())+"/"+e.Name(), data)
		}
	}
	note("queue", []byte(readQueue(s, s.sp)))
	missing, perhaps := int64(0), int64(0)
	for name := range s.made {
		n := len(where[name]) + s.taken[name]
		switch {
		case n == 1:
		case n == 0 && s.mangled[name]:
			perhaps++ // or evicted before
		case n == 0:
			missing++
		default:
			s.Errorf("%s is in %v, and was taken %d times", name, where[name], s.taken[name])
		}
	}
	for name := range where {
		if !s.made[name] {
			s.Errorf("%s came from nowhere", name)
		}
	}
	if l := closes(s, q); (l.Evicted < missing || l.Evicted > missing+perhaps) && s.exact() {
		s.Errorf("%d signals are nowhere, but %d were evicted", missing, l.Evicted)
	}
	if s.Failed() {
		s.Logf("queue:\n%s", readQueue(s, s.sp))
	}
}

// plots are the transactions to be cut: what is there before, and the deed.
var plots = []struct {
	name   string
	cap    int
	before func(*scene)
	deed   func(*scene, *Queue)
}{
	{"append to nothing", 0, func(s *scene) { s.drop(2) }, (*scene).doFold},
	{"append", 0, func(s *scene) { s.drop(1); s.doFold(s.queue()); s.drop(2) }, (*scene).doFold},
	{"append to a torn line", 0, func(s *scene) { s.appendTorn(); s.drop(2) }, (*scene).doFold},
	{"trim", 3, func(s *scene) { s.drop(3); s.doFold(s.queue()); s.drop(2) }, (*scene).doFold},
	{"trim, shorter", 2, func(s *scene) { s.append(); s.append(); s.append(); s.drop(1) }, (*scene).doFold},
	{"grow while trimming", 4, func(s *scene) { s.append(); s.drop(1); s.doFold(s.queue()); s.write("\n \n"); s.drop(3) }, (*scene).doFold},
	{"drain", 0, func(s *scene) { s.append(); s.drop(1); s.doFold(s.queue()) }, (*scene).doTake},
	{"fold and drain", 3, func(s *scene) { s.drop(3); s.doFold(s.queue()); s.drop(2) }, (*scene).doTake},
	{"return", 3, func(s *scene) { s.drop(2); s.doTake(s.queue()); s.drop(2); s.doFold(s.queue()) }, (*scene).doReturn},
}

func (s *scene) doFold(q *Queue) {
	s.Helper()
	if _, err := q.Fold(context.Background()); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) doTake(q *Queue) {
	s.Helper()
	if _, err := q.Take(context.Background(), spoolfiles.NewID()); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) doReturn(q *Queue) {
	s.Helper()
	if _, err := q.Sweep(context.Background(), time.Now().Add(q.opt.ReplyTTL)); err != nil {
		s.Fatal(err)
	}
}

func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	for _, p := range plots {
		for who := range strangers(&scene{}) {
			t.Run(p.name+"/"+who, func(t *testing.T) {
				t.Parallel()
				points, mid := 0, 0
				stride := int64(19)
				if testing.Short() {
					stride = 17
				}
				for after := rand.Int64N(stride); ; after += stride {
					s := newScene(t, p.cap)
					p.before(s)
					q := s.queue()
					cut := cutShort(q, after, func() { p.deed(s, q) })
					if r, cells := s.pending(); r != nil && (begun(cells) || !r.Exact) {
						mid++
					}
					strangers(s)[who]()
					s.recoverAll()
					s.sp.Close()
					if t.Failed() {
						t.Fatalf("cut after %d steps", after)
					}
					if !cut {
						break
					}
					points++
				}
				if points < 3 || mid == 0 {
					t.Errorf("only %d points were tried, %d in mid-transaction", points, mid)
				}
			})
		}
	}
}

// TestCutRecovery cuts the recovery, too, and the recovery of that.
func TestCutRecovery(t *testing.T) {
	t.Parallel()
	runs := 500
	if testing.Short() {
		runs = 300
	}
	cuts := [4]int{}
	for range runs {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 0))
		p := plots[rnd.IntN(len(plots))]
		s := newScene(t, p.cap)
		p.before(s)
		var story []string
		for round := range 4 {
			q := s.queue()
			after := rnd.Int64N(400 >> round)
			cut := cutShort(q, after, func() {
				if round == 0 {
					p.deed(s, q)
				} else if err := q.Recover(context.Background()); err != nil {
					s.Fatal(err)
				}
			})
			names := slices.Sorted(maps.Keys(strangers(s)))
			who := names[rnd.IntN(len(names))]
			story = append(story, fmt.Sprintf("%d %v, then %s", after, cut, who))
			if cut {
				cuts[round]++
			}
			strangers(s)[who]()
		}
		s.recoverAll()
		s.sp.Close()
		if t.Failed() {
			t.Fatalf("seed %d: %s, cut after %s", seed, p.name, strings.Join(story, "; "))
		}
	}
	t.Logf("cut in %v of %d runs, by depth", cuts, runs)
	if cuts[2] == 0 {
		t.Error("no recovery of a recovery was cut")
	}
}

// TestCutPlain is for systems where nothing tells how far a copy has come.
func TestCutPlain(t *testing.T) {
	t.Parallel()
	for _, p := range plots {
		t.Run(p.name, func(t *testing.T) {
			stride := int64(11)
			if testing.Short() {
				stride = 17
			}
			for after := rand.Int64N(stride); ; after += stride {
				s := newScene(t, p.cap)
				s.plain = true
				p.before(s)
				q := s.queue()
				cut := cutShort(q, after, func() { p.deed(s, q) })
				s.recoverAll()
				s.sp.Close()
				if t.Failed() {
					t.Fatalf("cut after %d steps", after)
				}
				if !cut {
					break
				}
			}
		})
	}
}
