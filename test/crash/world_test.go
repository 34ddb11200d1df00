//go:build linux && tools

package crash

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"spoolagent/queue"
)

// world is one project with all that happens to it, and what is known of where
// each of its signals must be. A signal is named by its recorded_at.
type world struct {
	t     *testing.T
	label string
	root  string // everything that this world writes is in here
	dir   string // the project
	cap   int
	runs  int

	dropped  []int    // signals that came as drops
	appended []int    // signals that strangers put into the queue
	bad      []string // what is no signal and must be rejected
	returned int      // signals that must have been returned, so far
	consumed []int    // handed out and acknowledged
	taken    []int    // in a stranger's hands
	takenBad []string // likewise
	late     bool     // a drop may have missed its turn
	full     bool     // something may have kept the cap from being applied
}

const request = "the-request"

func newWorld(t *testing.T, base string, cap int) *world {
	root, err := os.MkdirTemp(base, "w")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, root: root, dir: filepath.Join(root, "project"), cap: cap}
	w.must(os.MkdirAll(w.dir, 0o700))
	w.must(os.MkdirAll(filepath.Join(root, "config", "spool-agent"), 0o700))
	w.must(os.WriteFile(filepath.Join(root, "config", "spool-agent", "config.toml"), fmt.Appendf(nil, "cap = %d\n", cap), 0o600))
	return w
}

func (w *world) close() {
	if !w.t.Failed() {
		w.must(os.RemoveAll(w.root))
	}
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s: %s\n%s", w.label, fmt.Sprintf(format, args...), w.dump())
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.fatalf("%v", err)
	}
}

func (w *world) read(path string) string {
	w.t.Helper()
	data, err := os.ReadFile(path)
	w.must(err)
	return string(data)
}

// dump shows a spool to whoever has to find out what went wrong.
func (w *world) dump() string {
	var b strings.Builder
	filepath.WalkDir(w.path(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && b.Len() < 20_000 {
			data, _ := os.ReadFile(path)
			fmt.Fprintf(&b, "%s: %q\n", strings.TrimPrefix(path, w.dir+"/"), data[:min(len(data), 1000)])
		}
		return nil
	})
	return b.String()
}

func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir, ".spool"}, elem...)...)
}

func (w *world) queuePath() string { return w.path("distill-pending.queue") }

// names lists a directory of the spool.
func (w *world) names(dir string) (names []string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.path(dir))
	w.must(err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func line(id int) string {
	return fmt.Sprintf(`{"recorded_at":%d,"tool_name":"Bash","cwd":"/repo","payload":"signal %d"}`, id, id)
}

// number is the signal's that a line of the queue holds.
func number(text string) (id int, ok bool) {
	n, err := fmt.Sscanf(text, `{"recorded_at":%d,`, &id)
	return id, n == 1 && err == nil && text == line(id)
}

// epoch is long ago: nothing that is dated by it is fresh.
var epoch = time.Unix(1_700_000_000, 0)

// place renames a file into place, modified at the given second.
func (w *world) place(dir, name, content string, second int) {
	w.t.Helper()
	tmp := w.path("tmp", name)
	w.must(os.WriteFile(tmp, []byte(content), 0o600))
	at := epoch.Add(time.Duration(second) * time.Second)
	w.must(os.Chtimes(tmp, at, at))
	w.must(os.Rename(tmp, w.path(dir, name)))
}

func (w *world) drop(ids ...int) {
	w.t.Helper()
	for _, id := range ids {
		w.place("incoming", fmt.Sprintf("%08d.json", id), line(id), id)
		w.dropped = append(w.dropped, id)
	}
}

func (w *world) dropBad(name, content string, second int) {
	w.t.Helper()
	w.place("incoming", name, content, second)
	w.bad = append(w.bad, content)
}

func span(from, to int) (ids []int) {
	for id := from; id <= to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// age makes all replies ones that nobody claimed in time, and returns how many
// signals they have.
func (w *world) age() (signals int) {
	w.t.Helper()
	for _, name := range w.names("control") {
		if isReply(name) {
			signals += len(w.signals(w.read(w.path("control", name))))
			w.must(os.Chtimes(w.path("control", name), epoch, epoch))
		}
	}
	return signals
}

func (w *world) ask() {
	w.t.Helper()
	w.place("control", request+".drain", "", 1)
}

// signals are those of some JSON Lines, of which all must be signals of ours,
// or blank.
func (w *world) signals(lines string) (ids []int) {
	w.t.Helper()
	for l := range strings.Lines(lines) {
		if strings.TrimSpace(l) == "" {
			continue
		}
		id, ok := number(strings.TrimSuffix(l, "\n"))
		if !ok || !strings.HasSuffix(l, "\n") {
			w.fatalf("not one of our signals as a line: %q", l)
		}
		ids = append(ids, id)
	}
	return ids
}

// locked opens the queue as any program may that knows only of the lock, and
// checks that there are but whole lines. Its content is passed to f.
func (w *world) locked(f func(file *os.File, content string)) {
	w.t.Helper()
	file, err := os.OpenFile(w.queuePath(), os.O_RDWR, 0)
	if os.IsNotExist(err) {
		return // nothing to take, and nobody to meet
	}
	w.must(err)
	defer file.Close()
	w.must(syscall.Flock(int(file.Fd()), syscall.LOCK_EX))
	content := w.read(w.queuePath())
	last := 0
	for l := range strings.Lines(content) {
		text := strings.TrimSuffix(l, "\n")
		if strings.TrimSpace(text) == "" || slices.Contains(w.bad, text) {
			continue
		}
		id, ok := number(text)
		if !ok || !strings.HasSuffix(l, "\n") {
			w.fatalf("who holds the lock sees a line that is not whole: %q", l)
		}
		if id < stranger {
			if id <= last && !w.late {
				w.fatalf("who holds the lock sees signal %d after %d", id, last)
			}
			last = id
		}
	}
	f(file, content)
}

// Signals from stranger on are those of strangers.
const stranger = 100_000

// visitor is a program that knows the lock and nothing else of ours.
type visitor string

const (
	nobody    visitor = "nobody"
	drainer   visitor = "a drainer"
	appender  visitor = "an appender"
	exchanger visitor = "one that drains and appends"
)

var visitors = []visitor{drainer, appender, exchanger}

// visit lets a stranger do its work.
func (w *world) visit(v visitor) {
	w.t.Helper()
	w.locked(func(f *os.File, content string) {
		if v == drainer || v == exchanger {
			for l := range strings.Lines(content) {
				text := strings.TrimSpace(l)
				if id, ok := number(text); ok {
					w.taken = append(w.taken, id)
				} else if text != "" {
					w.takenBad = append(w.takenBad, text)
				}
			}
			w.must(f.Truncate(0))
			content = ""
		}
		if v == appender || v == exchanger {
			// Twice, for what is as long as what was there is hard to tell from it.
			for range 2 {
				id := stranger + len(w.appended)
				text := line(id) + "\n"
				if content != "" && !strings.HasSuffix(content, "\n") {
					text = "\n" + text
				}
				_, err := f.WriteAt([]byte(text), int64(len(content)))
				w.must(err)
				content += text
				w.appended = append(w.appended, id)
			}
		}
	})
}

// outcome is where things must be in the end if no stranger has come.
type outcome struct {
	queue    []int
	consumed []int
}

// check accounts for every signal, when all is done and everything is quiet.
func (w *world) check(want *outcome) {
	w.t.Helper()
	const last = 90_000
	w.drop(last)
	w.must(operate(w.dir, w.cap, foldOp))

	if !w.idle(false) {
		w.fatalf("something is left to be done")
	}
	queued := w.signals(w.read(w.queuePath()))
	places := map[int][]string{}
	for where, ids := range map[string][]int{"the queue": queued, "a consumer's hands": w.consumed, "a stranger's hands": w.taken} {
		for _, id := range ids {
			places[id] = append(places[id], where)
		}
	}
	var evicted []int
	for _, id := range append(slices.Clone(w.dropped), w.appended...) {
		switch p := places[id]; {
		case len(p) == 0:
			evicted = append(evicted, id)
		case len(p) > 1:
			w.fatalf("signal %d is in %q", id, p)
		}
		delete(places, id)
	}
	if len(places) > 0 {
		w.fatalf("signals from nowhere: %v", places)
	}

	if n := len(queued); w.cap > 0 && n > w.cap {
		w.fatalf("%d signals in the queue, and the cap is %d", n, w.cap)
	}
	ours := slices.DeleteFunc(slices.Clone(queued), func(id int) bool { return id >= stranger })
	if !slices.IsSorted(ours) && !w.late || len(queued) == 0 || queued[len(queued)-1] != last {
		w.fatalf("the queue is not in order: %v", queued)
	}
	for _, id := range evicted {
		if w.cap == 0 || id < stranger && id > ours[0] && !w.late {
			w.fatalf("signal %d is gone, and the queue has %v", id, queued)
		}
	}
	if want != nil {
		if got := ours[:len(ours)-1]; !slices.Equal(got, tail(want.queue, w.cap-1)) {
			w.fatalf("the queue has %v, not %v", got, want.queue)
		}
		// A drain does not evict: what a kill or an error kept from being evicted comes, too.
		if got := w.consumed; !slices.Equal(tail(got, len(want.consumed)), want.consumed) || len(got) > len(want.consumed) && w.cap == 0 {
			w.fatalf("the consumer has %v, not %v", w.consumed, want.consumed)
		}
	}
	w.checkRejects()

	l, drops, replies, kept := w.count()
	rejects := w.rejects()
	if int(l.Queued) != len(queued) || drops != 0 || replies != 0 || kept != len(rejects) {
		w.fatalf("counted: %+v, %d drops, %d replies, %d rejects, with %d in the queue and %d rejected", l, drops, replies, kept, len(queued), len(rejects))
	}
	if l.Folded+l.Returned+l.External != l.Queued+l.Drained+l.Evicted {
		w.fatalf("the ledger does not close: %+v", l)
	}
	exact := queue.Ledger{
		Folded:     int64(len(w.dropped)),
		Returned:   int64(w.returned),
		External:   int64(len(w.appended) - len(w.taken)),
		Drained:    int64(len(w.consumed) + w.returned),
		Evicted:    int64(len(evicted)),
		Rejected:   int64(len(rejects)),
		Queued:     int64(len(queued)),
		LastFoldAt: l.LastFoldAt, LastDrainAt: l.LastDrainAt,

		EvictedBefore: l.EvictedBefore,
	}
	if l.Rejected < exact.Rejected {
		exact.Rejected = l.Rejected // a kill can come between a reject and its count
	}
	if l != exact {
		w.fatalf("the ledger is\n%+v, not\n%+v", l, exact)
	}
}

func tail(ids []int, n int) []int { return ids[max(0, len(ids)-n):] }

// rejects are the contents of what was rejected, each with its reason.
func (w *world) rejects() (contents []string) {
	w.t.Helper()
	names := w.names("rejected")
	for _, name := range names {
		if stem, ok := strings.CutSuffix(name, ".reason"); ok {
			// A stranger may take a malformed line after its reason was written.
			if !slices.Contains(names, stem) && !strings.HasPrefix(stem, "line-") {
				w.fatalf("rejected has the reason %s, and nothing that it is the reason of", name)
			}
			continue
		}
		reason := w.read(w.path("rejected", name+".reason"))
		if strings.Count(reason, "\n") != 1 || len(reason) < 5 {
			w.fatalf("the reason of %s is %q", name, reason)
		}
		contents = append(contents, w.read(w.path("rejected", name)))
	}
	return contents
}

// checkRejects: what is no signal is rejected, or a stranger has taken it, once.
func (w *world) checkRejects() {
	w.t.Helper()
	rejects := w.rejects()
	found := append(slices.Clone(rejects), w.takenBad...)
	want := slices.Sorted(slices.Values(w.bad))
	// A stranger may take a malformed line after it was copied to rejected.
	for _, bad := range w.takenBad {
		if i := slices.Index(rejects, bad); i >= 0 && len(found) > len(want) {
			rejects = slices.Delete(rejects, i, i+1)
			found = append(slices.Clone(rejects), w.takenBad...)
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, want) {
		w.fatalf("rejected, or in a stranger's hands, are %q, not %q", found, want)
	}
}
