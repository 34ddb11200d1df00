//go:build linux && powercut

package powercut

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kind is what a note says.
type kind int

const (
	sent       kind = iota // is about to be dropped or appended
	seen                   // is in a queue, under its lock
	answered               // is in a reply
	synced                 // was appended and synced by a stranger
	taken                  // was acknowledged, or taken by a stranger
	committed              // a syncfs has ended, before which these were taken
	registered             // the project is served
	added                  // "agent add" has registered the project
)

func (k kind) String() string {
	return [...]string{"sent", "seen", "answered", "synced", "taken", "committed", "registered", "added"}[k]
}

// note is what an observer knows at a point of the record. Its seq is the
// number of records after what it tells; of sent and taken, before.
type note struct {
	seq     int
	kind    kind
	ids     []string
	folded  int    // of committed: the total
	project string // of registered and added
}

// outcome is what there is after a cut and a restart.
type outcome struct {
	have   map[string]int // signals in the answer, in replies and in queues
	drops  []string       // signals that were drops when the agent started
	folded int            // the total
	lag    int            // signals that were folded, but are not in that total
	faults []string
}

func (o *outcome) fault(format string, args ...any) {
	o.faults = append(o.faults, fmt.Sprintf(format, args...))
}

// ids adds a fault of these signals, if there are any.
func (o *outcome) ids(what string, ids []string) {
	if len(ids) > 0 {
		slices.Sort(ids)
		o.fault("%s: %d signals, %v", what, len(ids), ids[:min(len(ids), 6)])
	}
}

// read counts the signals in JSON Lines.
func (o *outcome) read(what string, data []byte) {
	ids, garbled := scan(data)
	for _, id := range ids {
		o.have[id]++
	}
	if garbled != nil {
		o.fault("GARBLED: %s has %v", what, garbled)
	}
}

// compare adds to the outcome what is wrong with it after a cut at a point of
// the record, and returns how many signals came again.
func (r *recording) compare(at int, o *outcome) (repeats int) {
	promised, gone, folded := map[string]bool{}, map[string]bool{}, map[string]bool{}
	order, count, newest := map[string]int{}, 0, 0 // of arrival; newest is of those in the queue
	var buried note
	for _, n := range r.notes {
		switch {
		case n.seq > at || n.seq == at && (n.kind == sent || n.kind == taken):
		case n.kind == sent:
			count++
			order[n.ids[0]] = count
			if n.ids[0][0] != 'S' {
				// The drops that wait may come into the queue after a stranger's line.
				order[n.ids[0]] = newest
			}
		case n.kind == taken:
			for _, id := range n.ids {
				gone[id] = true
			}
		case n.kind == committed:
			buried = n
		default:
			for _, id := range n.ids {
				newest = max(newest, order[id])
				if id[0] == 'S' {
					folded[id] = true
				}
				if id[0] == 'S' || id[0] == 'H' || n.kind != seen {
					promised[id] = true
				}
			}
		}
	}
	// Drops that were folded once, but whose removal is not on the disk, come
	// again. They are the newest then.
	for _, id := range o.drops {
		if folded[id] {
			count++
		}
	}
	var lost, again []string
	for id := range promised {
		evicted := r.cap > 0 && id[0] != 'H' && count-order[id] >= r.cap
		if o.have[id] == 0 && !gone[id] && !evicted {
			lost = append(lost, id)
		}
	}
	o.ids("LOST", lost)
	if lost != nil {
		o.faults[len(o.faults)-1] += r.history(lost[0])
	}
	for _, id := range buried.ids {
		if o.have[id] > 0 {
			again = append(again, id)
		}
	}
	o.ids("AGAIN after a syncfs", again)
	if o.folded < buried.folded {
		o.fault("TOTALS: folded is %d, and was %d before a syncfs", o.folded, buried.folded)
	}
	o.lag = len(folded) - o.folded
	for id, n := range o.have {
		repeats += n - 1
		if gone[id] {
			repeats++
		}
	}
	return repeats
}

// history tells what was noted of a signal.
func (r *recording) history(id string) string {
	text := "; " + id + " was"
	for _, n := range r.notes {
		if n.kind != committed && slices.Contains(n.ids, id) && !strings.HasSuffix(text, n.kind.String()) {
			text += fmt.Sprintf(" %d %v", n.seq, n.kind)
		}
	}
	return text
}

// names are what files of a spool are called, by what they are.
type names struct {
	drops []string // and rejects
	own   []string // of the agent
}

// names takes down, before the agent starts, what could come to rejected.
func (h host) names() (n names) {
	for _, p := range h.projects() {
		for _, dir := range []string{"incoming", "work", "rejected", "."} {
			for _, e := range list(filepath.Join(p, ".spool", dir)) {
				name := strings.TrimSuffix(e.Name(), ".json")
				switch {
				case dir != ".":
					n.drops = append(n.drops, name)
				case e.Type().IsRegular() && name != "distill-pending.queue":
					n.own = append(n.own, name)
				}
			}
		}
	}
	return n
}

// signals are those of the drops of the main project.
func (n names) signals() (ids []string) {
	for _, name := range n.drops {
		if _, id, ok := strings.Cut(name, "-"); ok && strings.HasPrefix(id, "S") {
			ids = append(ids, id)
		}
	}
	return ids
}

// list lists a directory that may be missing.
func list(dir string) []fs.DirEntry {
	entries, err := os.ReadDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		check(err)
	}
	return entries
}

// inspect takes what is in the files of all projects after the agent has ended.
func (o *outcome) inspect(h host, before names) {
	for _, p := range h.projects() {
		files := append(must(filepath.Glob(p+"/.spool/control/*.signals")), p+"/.spool/distill-pending.queue")
		for _, name := range files {
			data, err := os.ReadFile(name)
			if !errors.Is(err, fs.ErrNotExist) {
				check(err)
			}
			o.read(strings.TrimPrefix(name, h.mnt), data)
		}
		for _, e := range list(p + "/.spool/rejected") {
			begins := func(other string) bool { return strings.HasPrefix(e.Name(), other) }
			if strings.HasSuffix(e.Name(), ".reason") || slices.ContainsFunc(before.drops, begins) {
				continue
			}
			name := filepath.Join(p, ".spool/rejected", e.Name())
			piece := must(os.ReadFile(name))
			if slices.ContainsFunc(before.own, begins) || !fromUnsynced(piece) {
				reason, _ := os.ReadFile(name + ".reason")
				o.fault("REJECTED: %s, %.60q: %q", strings.TrimPrefix(name, h.mnt), piece, reason)
			}
		}
	}
}
