//go:build linux && powercut

package powercut

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cut is a power cut.
type cut struct {
	at    int    // records [0, at) were made
	mode  string // for the summary
	boot  boot   // after it
	alone bool   // "agent drain" comes before the agent
	// survived reports whether a sector of the i-th write since the last flush
	// did.
	survived func(i, sector int) bool
}

func all(int, int) bool  { return true }
func none(int, int) bool { return false }

// partly lets each write survive with a probability; torn, each sector.
func partly(seed uint64, p float64, torn bool) func(i, sector int) bool {
	return func(i, sector int) bool {
		if !torn {
			sector = 0
		}
		return rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(sector))).Float64() < p
	}
}

// within reports whether cuts are made at this record.
func (r *recording) within(at int) bool {
	return len(r.busy) == 0 ||
		slices.ContainsFunc(r.busy, func(b [2]int) bool { return b[0] <= at && at <= b[1] })
}

// atFlushes are cuts right after n of the flushes.
func (r *recording) atFlushes(rnd *rand.Rand, n int) (cuts []cut) {
	for i := r.start; i < len(r.writes); i++ {
		if r.writes[i].flush() && r.within(i) {
			cuts = append(cuts, cut{at: i + 1, mode: "flush", survived: all})
		}
	}
	return r.pick(rnd, cuts, n)
}

// atWrites are n cuts anywhere, at which some unsynced writes are lost.
func (r *recording) atWrites(rnd *rand.Rand, n int) (cuts []cut) {
	var points []int
	for at := r.start; at <= len(r.writes); at++ {
		if r.within(at) {
			points = append(points, at)
		}
	}
	for range n {
		seed := rnd.Uint64()
		survived := choose(rnd, none, all, partly(seed, 0.5, false), partly(seed, 0.85, false), partly(seed, 0.5, true))
		cuts = append(cuts, cut{at: points[rnd.IntN(len(points))], mode: "write", survived: survived})
	}
	return r.pick(rnd, cuts, n)
}

// atEach are n cuts of those right before a flush, at which one write of more
// than a block is lost, or half of it, or nothing else survives.
func (r *recording) atEach(rnd *rand.Rand, n int) (cuts []cut) {
	first := r.start
	for at := r.start; at < len(r.writes); at++ {
		if !r.writes[at].flush() {
			continue
		}
		for k := range at - first {
			half := len(r.writes[first+k].data) / sector / 2
			if half <= block/sector/2 {
				continue
			}
			for _, survived := range []func(int, int) bool{
				func(i, _ int) bool { return i != k },
				func(i, _ int) bool { return i == k },
				func(i, sector int) bool { return i != k || sector < half },
				func(i, sector int) bool { return i != k || sector >= half },
			} {
				cuts = append(cuts, cut{at: at, mode: "write", survived: survived})
			}
		}
		first = at + 1
	}
	return r.pick(rnd, cuts, n)
}

// pick takes n of the cuts. Two of three have the recording's kind of boot ID.
func (r *recording) pick(rnd *rand.Rand, cuts []cut, n int) []cut {
	rnd.Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
	cuts = cuts[:min(n, len(cuts))]
	for i := range cuts {
		cuts[i].boot = choose(rnd, r.boot, r.boot, (r.boot+1)%2)
		cuts[i].alone = rnd.IntN(4) == 0
		if cuts[i].boot != known && rnd.IntN(4) == 0 {
			cuts[i].boot = empty
		}
	}
	return cuts
}

// replay makes the cuts, and fails the test for each that shows a fault.
func (r *recording) replay(t *testing.T, cuts []cut) {
	t.Helper()
	slices.SortStableFunc(cuts, func(a, b cut) int { return a.at - b.at })
	var im *image
	var unsynced []write
	next := 0
	err := attempt(func() {
		im = readImage(filepath.Join(r.dir, "base"))
		for _, c := range cuts {
			for ; next < c.at; next++ {
				if !r.writes[next].flush() {
					unsynced = append(unsynced, r.writes[next])
					continue
				}
				for _, w := range unsynced {
					im.write(w)
				}
				unsynced = nil
			}
			began := time.Now()
			o := r.cut(im, unsynced, c)
			results.add(r.fs.name, c, o, r.compare(c.at, o), time.Since(began))
			if o.faults == nil {
				continue
			}
			t.Errorf("cut at %d of %d, mode %s, then %v:\n\t%s", c.at, len(r.writes), c.mode, c.boot, strings.Join(o.faults, "\n\t"))
			if dir := os.Getenv(keepVariable); dir != "" {
				name := fmt.Sprintf("%s-%d-%d.img", strings.ReplaceAll(t.Name(), "/", "-"), c.at, time.Now().UnixNano())
				im.save(filepath.Join(dir, name), unsynced, r.survived(unsynced, c))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// survived is what the cut says, but for the superblock.
func (r *recording) survived(unsynced []write, c cut) func(i, sector int) bool {
	return func(i, sector int) bool {
		if w := unsynced[i]; w.off <= r.fs.super && r.fs.super < w.off+int64(len(w.data)) {
			sector = 0
		}
		return c.survived(i, sector)
	}
}

// cut mounts the disk as the cut has left it, has the agent work on it, and
// returns what there is then.
func (r *recording) cut(im *image, unsynced []write, c cut) *outcome {
	after := r.setup
	after.boot, after.ttl = c.boot, 720*time.Hour // what was answered stays where it is
	h := newHost(r.dir, after)
	im.save(h.file("cut"), unsynced, r.survived(unsynced, c))
	defer os.Remove(h.file("cut"))
	r.fs.mount(h.file("cut"), h.mnt)
	defer unmount(h.mnt)
	before := h.names()
	o := &outcome{have: map[string]int{}, drops: before.signals()}
	if c.alone {
		out, err := h.agent("drain", "--project", h.project()).Output()
		if err != nil {
			o.fault("SERVICE: agent drain: %v", err)
		}
		o.read("what agent drain prints", out)
	}
	agent := h.start()
	defer agent.kill()
	answer, err := h.ask("after")
	if err != nil {
		o.fault("SERVICE: %v", err)
	} else {
		o.read("the answer", answer)
		check(os.Remove(h.reply("after")))
	}
	err = poll(answerPatience, "the end of returns", func() bool {
		return len(must(filepath.Glob(h.spool("control/*.returning")))) == 0
	})
	if err != nil {
		o.fault("SERVICE: %v", err)
	}
	if err := r.useOthers(h, c.at); err != nil {
		o.fault("REGISTRATION: %v", err)
	}
	if err := agent.stop(); err != nil {
		o.fault("STOP: %v", err)
	}
	t := h.totals()
	o.folded = t.Ledger.Folded
	if data, err := os.ReadFile(h.spool("distill-pending.queue")); err == nil {
		if ids, _ := scan(data); t.Error != "" || !t.balanced() || t.Queued != len(ids) {
			o.fault("STATUS: with %d signals in the queue: %+v", len(ids), t)
		}
	}
	for _, n := range r.notes {
		if n.kind == added && n.seq <= c.at {
			if t := h.totalsOf(n.project); t.Error != "" {
				o.fault("REGISTRATION: %s: %s", n.project, t.Error)
			}
		}
	}
	o.inspect(h, before)
	return o
}

// useOthers has the hook leave another signal in the two projects that had
// been registered last. Once it has failed often enough, it waits for no more.
func (r *recording) useOthers(h host, at int) error {
	var projects []string
	for _, n := range r.notes {
		if n.kind == registered && n.seq <= at {
			projects = append(projects, n.project)
		}
	}
	if r.unserved >= 3 {
		return nil
	}
	for i, p := range projects[max(0, len(projects)-2):] {
		id := fmt.Sprint("H", 1000000+2*at+i)
		h.hook(p, id)
		err := poll(answerPatience, "the next signal of "+p, func() bool {
			data, _ := os.ReadFile(p + "/.spool/distill-pending.queue") // may be missing
			ids, _ := scan(data)
			return slices.Contains(ids, id)
		})
		if err != nil {
			r.unserved++
			return err
		}
	}
	return nil
}

// tally is what the cuts of all tests add up to.
type tally struct {
	mu      sync.Mutex
	cuts    map[string]int // by file system, mode and boot ID
	faults  map[string]int // by file system and the fault's first word
	repeats map[string]int // by file system
	lag     int            // the longest
	longest time.Duration
}

var results = tally{cuts: map[string]int{}, faults: map[string]int{}, repeats: map[string]int{}}

func (y *tally) add(fs string, c cut, o *outcome, repeats int, took time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.cuts[fmt.Sprintf("%s, %s, %v", fs, c.mode, c.boot)]++
	for _, f := range o.faults {
		what, _, _ := strings.Cut(f, ":")
		y.faults[fs+" "+what]++
	}
	y.repeats[fs] += repeats
	y.lag = max(y.lag, o.lag)
	y.longest = max(y.longest, took)
}

func (y *tally) print() {
	var sums []int
	for i, m := range []map[string]int{y.cuts, y.repeats, y.faults} {
		sums = append(sums, 0)
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Printf("powercut: %5d %s: %s\n", m[k], []string{"cuts", "repeats", "faults"}[i], k)
			sums[i] += m[k]
		}
	}
	fmt.Printf("powercut: %d cuts, %d repeats, %d faults\n", sums[0], sums[1], sums[2])
	fmt.Printf("powercut: totals lag behind by %d signals at most; the longest cut took %v\n", y.lag, y.longest.Round(ms))
}

// TestPowerCut cuts the power of a host at work.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	length, each := 10*time.Second, 12
	setups := []setup{{0, time.Second, known}, {8, 10 * time.Minute, unreadable}}
	if full() {
		length, each = 35*time.Second, 60
		setups = append(setups, setup{0, time.Second, unreadable}, setup{8, 10 * time.Minute, known})
	}
	for _, f := range fileSystems {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range setups {
				t.Run(c.String(), func(t *testing.T) {
					rnd := rand.New(rand.NewPCG(1, 1))
					r := record(t, f, c, func(s *stage) int {
						start := s.now()
						s.work(length)
						return start
					})
					r.replay(t, append(r.atFlushes(rnd, each), r.atWrites(rnd, each)...))
				})
			}
		})
	}
}
