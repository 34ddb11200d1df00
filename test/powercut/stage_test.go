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
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// setup is what a recording is made with.
type setup struct {
	cap  int           // signals that a queue keeps; 0: all
	ttl  time.Duration // reply_ttl
	boot boot
}

func (c setup) String() string { return fmt.Sprintf("cap %d, %v", c.cap, c.boot) }

// stage is a host whose disk is recorded, with an agent on it, and the notes
// of what was seen. Its methods may be called concurrently.
type stage struct {
	host
	setup setup
	disk  *disk
	agent *process

	// busy are the records between which amid acted.
	busy [][2]int

	mu    sync.Mutex
	notes []note
}

// recording is what cuts are made from.
type recording struct {
	setup
	fs     fileSystem
	dir    string
	writes []write
	busy   [][2]int // where cuts are made; empty: everywhere
	start  int      // from here on
	notes  []note

	unserved int // cuts after which a registered project was not served
}

// record makes a stage with an agent that serves the main project, acts on it,
// and returns the recording. act returns the number of records from which on
// the power may be cut.
func record(t *testing.T, f fileSystem, c setup, act func(*stage) int) *recording {
	t.Helper()
	r := &recording{setup: c, fs: f, dir: t.TempDir()}
	s := &stage{setup: c, disk: &disk{dir: r.dir}}
	t.Cleanup(func() {
		s.crash()
		s.disk.close()
	})
	err := attempt(func() {
		s.host = newHost(r.dir, c)
		s.disk.open(f)
		s.raise()
		r.start = act(s)
		end := s.now()
		s.inspect()
		s.crash()
		s.disk.close()
		r.notes, r.busy = s.notes, s.busy
		r.writes = readRecord(s.disk.path("record"), end)
	})
	if err != nil {
		log, _ := os.ReadFile(s.file("log"))
		t.Fatalf("recording: %v\nthe agent's log:\n%s", err, log)
	}
	return r
}

// raise has the main project served, a signal drained, and everything on the
// disk.
func (s *stage) raise() {
	check(os.Mkdir(s.project(), 0o700))
	check(os.Mkdir(s.mnt+"/home", 0o700))
	run(s.host.agent("add", s.project()))
	s.agent = s.start()
	s.dropAll(999999, 1000000, 1)
	s.drain("ready", true)
	s.commit()
}

// crash kills the agent, if it runs.
func (s *stage) crash() {
	if s.agent != nil {
		s.agent.kill()
	}
}

// zeros are a line that is rejected, which takes a compaction.
const zeros = "\x00"

// inspect finds what is wrong without any power cut.
func (s *stage) inspect() {
	for _, e := range must(os.ReadDir(s.spool("rejected"))) {
		name := strings.TrimSuffix(e.Name(), ".reason")
		if strings.HasPrefix(name, "bad") {
			continue
		}
		if text, _ := os.ReadFile(filepath.Join(s.spool("rejected"), name)); string(text) != zeros {
			check(fmt.Errorf("%s was rejected", e.Name()))
		}
	}
}

func (s *stage) syncfs() {
	f := must(os.Open(s.mnt))
	defer f.Close()
	check(unix.Syncfs(int(f.Fd())))
}

// commit has everything on the disk, and notes what is gone for good by then.
func (s *stage) commit() {
	n := note{kind: committed}
	s.mu.Lock()
	for _, before := range s.notes {
		if before.kind == taken {
			n.ids = append(n.ids, before.ids...)
		}
	}
	s.mu.Unlock()
	n.folded = s.totals().Ledger.Folded
	s.syncfs()
	n.seq = s.now()
	s.add(n)
}

// now is the number of records so far.
func (s *stage) now() int { return s.disk.seq() }

func (s *stage) add(n note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, n)
}

// see notes what has been seen at this moment.
func (s *stage) see(k kind, ids ...string) { s.add(note{seq: s.now(), kind: k, ids: ids}) }

// drop leaves a signal in the main project.
func (s *stage) drop(id string) {
	s.see(sent, id)
	name := fmt.Sprintf("%019d-%s.json", time.Now().UnixNano(), id)
	s.place(name, "incoming/"+name, line(id))
}

// dropAll drops S signals and waits until the last is in the queue.
func (s *stage) dropAll(from, to, step int) {
	var last string
	for n := from; n < to; n += step {
		last = fmt.Sprint("S", n)
		s.drop(last)
	}
	s.await(s.project(), last)
}

// dropBad leaves what the agent rejects at once: a link, or an old file that
// is no JSON.
func (s *stage) dropBad(n int, link bool) (name string) {
	tmp, name := s.spool(fmt.Sprintf("tmp/bad%d", n)), s.spool(fmt.Sprintf("incoming/bad%d.json", n))
	if link {
		check(os.Symlink("nowhere", tmp))
	} else {
		check(os.WriteFile(tmp, []byte("{nonsense"), 0o600))
		old := time.Now().Add(-time.Hour) // not so old that the agent tidies it away
		check(os.Chtimes(tmp, old, old))
	}
	check(os.Rename(tmp, name))
	return name
}

// await waits until a project's queue has the signal, and notes what it has.
func (s *stage) await(project, id string) {
	check(poll(answerPatience, id+" in the queue of "+project, func() bool {
		ids := queued(project)
		s.see(seen, ids...)
		return slices.Contains(ids, id)
	}))
}

// drain has the agent answer, and notes the reply. Then it may acknowledge.
func (s *stage) drain(id string, acknowledge bool) {
	ids := sound("a reply", must(s.ask(id)))
	s.see(answered, ids...)
	if !acknowledge {
		return
	}
	at := s.now()
	err := os.Remove(s.reply(id))
	if errors.Is(err, fs.ErrNotExist) {
		return // too late: they went back into the queue
	}
	check(err)
	s.add(note{seq: at, kind: taken, ids: ids})
}

// register leaves the first signal in a project of its own, by the hook or by
// "agent drop", and waits until the agent serves the project.
func (s *stage) register(n int, byHook bool) {
	project, id := s.other(n), fmt.Sprint("H", n)
	if byHook {
		s.hook(project, id)
	} else {
		check(os.Mkdir(project, 0o700))
		run(s.host.agent("drop", "--project", project, "--tool", "H", "--payload", payload(id)))
	}
	s.await(project, id)
	s.add(note{seq: s.now(), kind: registered, project: project})
}

// append is a stranger that appends one line under the lock, and syncs a G.
func (s *stage) append(id string) {
	f := lock(s.project(), unix.LOCK_EX)
	if f == nil {
		return
	}
	defer f.Close()
	text, end := line(id), must(f.Stat()).Size()
	last := []byte{'\n'}
	if end > 0 {
		must(f.ReadAt(last, end-1))
	}
	if last[0] != '\n' {
		text = append(last[:0], append([]byte{'\n'}, text...)...)
	}
	s.see(sent, id)
	must(f.WriteAt(text, end))
	if id[0] == 'G' {
		check(f.Sync())
		s.see(synced, id)
	}
}

// calm waits until nothing has been written for a second, or ten seconds have
// passed: so until the file system has done what it does by itself.
func (s *stage) calm() {
	last, since := s.now(), time.Now()
	for end := since.Add(10 * time.Second); time.Since(since) < time.Second && time.Now().Before(end); time.Sleep(20 * ms) {
		if n := s.now(); n != last {
			last, since = n, time.Now()
		}
	}
}
