package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// TestModel does anything that can be done to a spool, in any order, to a real
// one and to a plain slice, and compares content, order and ledger.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		sp, err := spoolfiles.Create(dir)
		if err != nil {
			rt.Fatal(err)
		}
		defer sp.Close()
		m := &model{sp: sp, opt: options(rapid.IntRange(0, 5).Draw(rt, "cap"))}
		m.q = New(sp, m.opt, nil)
		m.plain = rapid.Bool().Draw(rt, "plain")
		m.q.plain = m.plain
		rt.Repeat(map[string]func(*rapid.T){
			"":               m.compare,
			"drop":           m.drop,
			"drop malformed": m.dropMalformed,
			"fold":           m.fold,
			"request":        m.request,
			"take":           m.take,
			"acknowledge":    m.acknowledge,
			"give back":      m.giveBack,
			"sweep":          m.sweep,
			"other cap":      m.otherCap,
			"another queue":  m.another,
			"append":         m.append,
			"append bad":     m.appendMalformed,
			"drain_all":      m.drainAll,
		})
	})
}

type modelDrop struct {
	name   string
	mtime  int64
	signal string // "": malformed
}

type modelReply struct {
	id      string
	mtime   int64
	signals []string
}

type model struct {
	sp    *spoolfiles.Spool
	opt   Options
	q     *Queue
	plain bool

	n       int
	drops   []modelDrop
	queue   []string // canonical lines
	bad     int      // malformed lines in the queue
	torn    bool     // the last line has no line feed
	replies []modelReply
	ledger  Ledger // Queued: as of our last change
}

func (m *model) next() string {
	m.n++
	return signalLine(fmt.Sprintf("s%d", m.n))
}

func (m *model) put(rt *rapid.T, d modelDrop, content string) {
	m.n++
	d.name = fmt.Sprintf("%s%d.json", rapid.SampledFrom([]string{"a", "b", "c\n", "\xff", "d"}).Draw(rt, "prefix"), m.n)
	path := filepath.Join(m.sp.Incoming.Path(), d.name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		rt.Fatal(err)
	}
	at := time.Unix(rapid.Int64Range(1_000, 1_010).Draw(rt, "mtime"), 0)
	if err := os.Chtimes(path, at, at); err != nil {
		rt.Fatal(err)
	}
	d.mtime = at.UnixNano()
	m.drops = append(m.drops, d)
}

func (m *model) drop(rt *rapid.T) {
	line := m.next()
	m.put(rt, modelDrop{signal: line}, " "+line+"\n")
}

func (m *model) dropMalformed(rt *rapid.T) { m.put(rt, modelDrop{}, `{"payload":`) }

// add is what a fold or a return does to the queue.
func (m *model) add(lines []string, ahead bool, rejected, limit int) {
	m.ledger.External += int64(len(m.queue)) - m.ledger.Queued
	over := 0
	if limit > 0 {
		over = max(0, len(m.queue)+len(lines)-limit)
	}
	if len(lines) > 0 || over > 0 || m.bad > 0 {
		if ahead {
			m.queue = append(slices.Clone(lines), m.queue...)
		} else {
			m.queue = append(m.queue, lines...)
		}
		m.queue = m.queue[over:]
		m.ledger.Evicted += int64(over)
		m.ledger.Rejected += int64(m.bad)
		if len(lines) > 0 || m.bad > 0 { // an eviction alone ends no line
			m.torn = false
		}
		m.bad = 0
	}
	m.ledger.Rejected += int64(rejected)
	m.ledger.Queued = int64(len(m.queue))
}

func (m *model) folded(limit int) {
	slices.SortFunc(m.drops, func(a, b modelDrop) int {
		if a.mtime != b.mtime {
			return int(min(1, max(-1, a.mtime-b.mtime)))
		}
		return strings.Compare(a.name, b.name)
	})
	var lines []string
	rejected := 0
	for _, d := range m.drops {
		if d.signal == "" {
			rejected++
		} else {
			lines = append(lines, d.signal)
		}
	}
	if len(m.drops) > 0 {
		m.add(lines, false, rejected, limit)
		m.ledger.Folded += int64(len(lines))
	}
	m.drops = nil
}

func (m *model) fold(rt *rapid.T) {
	if _, err := m.q.Fold(context.Background()); err != nil {
		rt.Fatal(err)
	}
	m.folded(m.opt.Cap)
}

func (m *model) drained(rt *rapid.T, id string) {
	m.folded(0)
	m.ledger.External += int64(len(m.queue)) - m.ledger.Queued
	m.ledger.Drained += int64(len(m.queue))
	if len(m.queue) > 0 {
		m.ledger.EvictedBefore = m.ledger.Evicted
	}
	m.ledger.Rejected += int64(m.bad)
	m.ledger.Queued = 0
	info, err := m.sp.Control.Lstat(id + spoolfiles.ReplySuffix)
	if err != nil {
		rt.Fatal(err)
	}
	m.replies = append(m.replies, modelReply{id, info.MTime, m.queue})
	m.queue, m.bad, m.torn = nil, 0, false
}

func (m *model) request(rt *rapid.T) {
	m.n++
	id := fmt.Sprintf("r-%d", m.n)
	path := filepath.Join(m.sp.Control.Path(), id+spoolfiles.RequestSuffix)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		rt.Fatal(err)
	}
	n, _, err := m.q.Answer(context.Background(), id)
	if err != nil {
		rt.Fatal(err)
	}
	m.drained(rt, id)
	if want := len(m.replies[len(m.replies)-1].signals); n != want {
		rt.Fatalf("the answer has %d signals, want %d", n, want)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		rt.Fatalf("the request is still there: %v", err)
	}
}

func (m *model) take(rt *rapid.T) {
	id := spoolfiles.NewID()
	_, err := m.q.Take(context.Background(), id)
	if err != nil {
		rt.Fatal(err)
	}
	m.drained(rt, id)
}

// pick takes one of the replies off the list.
func (m *model) pick(rt *rapid.T) modelReply {
	if len(m.replies) == 0 {
		rt.Skip("no reply")
	}
	i := rapid.IntRange(0, len(m.replies)-1).Draw(rt, "reply")
	r := m.replies[i]
	m.replies = slices.Delete(m.replies, i, i+1)
	return r
}

func (m *model) acknowledge(rt *rapid.T) {
	r := m.pick(rt)
	path := filepath.Join(m.sp.Control.Path(), r.id+spoolfiles.ReplySuffix)
	data, err := os.ReadFile(path)
	if err != nil {
		rt.Fatal(err)
	}
	want := ""
	for _, l := range r.signals {
		want += l + "\n"
	}
	if diff := cmp.Diff(want, string(data)); diff != "" {
		rt.Fatal(diff)
	}
	if err := os.Remove(path); err != nil {
		rt.Fatal(err)
	}
}

func (m *model) returned(r modelReply) {
	m.add(r.signals, true, 0, m.opt.Cap)
	m.ledger.Returned += int64(len(r.signals))
}

func (m *model) giveBack(rt *rapid.T) {
	r := m.pick(rt)
	n, err := m.q.Return(context.Background(), r.id)
	if err != nil || n != len(r.signals) {
		rt.Fatalf("%d, %v; want %d", n, err, len(r.signals))
	}
	m.returned(r)
}

func (m *model) sweep(rt *rapid.T) {
	slices.SortFunc(m.replies, func(a, b modelReply) int {
		if a.mtime != b.mtime {
			return int(min(1, max(-1, a.mtime-b.mtime)))
		}
		return strings.Compare(a.id, b.id)
	})
	now := time.Now().Add(time.Minute)
	if len(m.replies) > 0 {
		last := rapid.SampledFrom(m.replies).Draw(rt, "due")
		now = time.Unix(0, last.mtime).Add(m.opt.ReplyTTL)
	}
	if _, err := m.q.Sweep(context.Background(), now); err != nil {
		rt.Fatal(err)
	}
	limit := now.Add(-m.opt.ReplyTTL).UnixNano()
	for len(m.replies) > 0 && m.replies[0].mtime <= limit {
		m.returned(m.replies[0])
		m.replies = m.replies[1:]
	}
}

func (m *model) otherCap(rt *rapid.T) {
	m.opt.Cap = rapid.IntRange(0, 5).Draw(rt, "cap")
	m.another(rt)
}

func (m *model) another(*rapid.T) {
	m.q = New(m.sp, m.opt, nil)
	m.q.plain = m.plain
}

func (m *model) foreign(rt *rapid.T, text string) {
	f, err := os.OpenFile(queuePath(m.sp), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		rt.Fatal(err)
	}
	defer f.Close()
	if m.torn {
		text = "\n" + text
	}
	if _, err := f.WriteString(text); err != nil {
		rt.Fatal(err)
	}
	m.torn = !strings.HasSuffix(text, "\n")
}

func (m *model) append(rt *rapid.T) {
	line := m.next()
	m.queue = append(m.queue, line)
	spaced := rapid.SampledFrom([]string{"", " ", "\n"}).Draw(rt, "space") // not canonical
	m.foreign(rt, spaced+line+rapid.SampledFrom([]string{"", "\n", "\r\n"}).Draw(rt, "end"))
}

func (m *model) appendMalformed(rt *rapid.T) {
	m.bad++
	m.foreign(rt, rapid.SampledFrom([]string{"x", "x\n", "[1]\n", "{\"recorded_at\":\n", "\xff\n"}).Draw(rt, "line"))
}

func (m *model) drainAll(rt *rapid.T) {
	if err := os.Truncate(queuePath(m.sp), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		rt.Fatal(err)
	}
	m.queue, m.bad, m.torn = nil, 0, false
}

// compare is made after each step.
func (m *model) compare(rt *rapid.T) {
	data, err := os.ReadFile(queuePath(m.sp))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		rt.Fatal(err)
	}
	var have []string
	bad := 0
	for line := range bytes.Lines(data) {
		switch s, err := signal.ParseLine(line); {
		case err == nil:
			have = append(have, string(s.AppendLine(nil)))
		case err != signal.ErrBlank:
			bad++
		}
	}
	if diff := cmp.Diff(m.queue, have, cmp.Transformer("", func(s []string) string { return strings.Join(s, "\n") })); diff != "" {
		rt.Fatalf("the queue (-want +have):\n%s", diff)
	}
	l, err := m.q.Count(context.Background())
	incoming, ierr := m.sp.CountDrops()
	rejects, rerr := m.sp.CountRejects()
	control, cerr := m.sp.ScanControl()
	if err := errors.Join(err, ierr, rerr, cerr); err != nil {
		rt.Fatal(err)
	}
	l.LastFoldAt, l.LastDrainAt = time.Time{}, time.Time{}
	ledger := m.ledger
	ledger.balance(int64(len(m.queue)))
	if diff := cmp.Diff(ledger, l); diff != "" {
		rt.Fatalf("the ledger (-want +have):\n%s", diff)
	}
	if replies := len(control.Replies) + len(control.Returning); incoming != len(m.drops) || replies != len(m.replies) {
		rt.Fatalf("%d drops, want %d; %d replies, want %d", incoming, len(m.drops), replies, len(m.replies))
	}
	if int64(rejects) > m.ledger.Rejected || bad != m.bad {
		rt.Fatalf("%d files in rejected of %d, %d malformed lines, want %d", rejects, m.ledger.Rejected, bad, m.bad)
	}
}
