//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"spoolagent/internal/agenttest"
)

// served is a project with an agent, in a process of its own, that serves it.
type served struct {
	*testing.B
	user    *agenttest.User
	project string
	agent   *agenttest.Process
	queue   *os.File
	buf     []byte
	n       int
}

func serve(b *testing.B, dir string, fsync bool) *served {
	home := filepath.Join(dir, fmt.Sprintf("fsync-%v", fsync))
	agenttest.Mkdir(b, home)
	u := agenttest.NewUserIn(b, home)
	u.Configure(fmt.Sprintf("fsync = %v\nlog_level = \"error\"\n", fsync))
	s := &served{B: b, user: u, project: u.Project("project"), buf: make([]byte, 1<<20)}
	s.agent = u.Run("--project", s.project)
	s.refill()
	var err error
	if s.queue, err = os.Open(s.queuePath()); err != nil {
		b.Fatal(err)
	}
	return s
}

func (s *served) stop() {
	s.agent.Stop()
	s.queue.Close()
}

func (s *served) queuePath() string { return spool(s.project, "distill-pending.queue") }

// refill brings 100 signals, as many as the cap, and waits until they are in the queue.
func (s *served) refill() {
	for range 100 {
		s.drop(s.signal())
	}
	s.wait(5*time.Millisecond, "the queue to be full", func() bool {
		_, err := os.Stat(s.queuePath())
		return err == nil && lines(s.B, s.queuePath()) == 100
	})
	s.idle()
}

// drop renames a drop into place, and returns when.
func (s *served) drop(text string) time.Time {
	name := fmt.Sprintf("%09d.json", s.n)
	tmp := filepath.Join(spool(s.project, "tmp"), name)
	agenttest.Write(s, tmp, text)
	start := time.Now()
	if err := os.Rename(tmp, filepath.Join(spool(s.project, "incoming"), name)); err != nil {
		s.Fatal(err)
	}
	return start
}

// signal is a drop that no other is like.
func (s *served) signal() string {
	s.n++
	return fmt.Sprintf(`{"recorded_at":1763852400,"tool_name":"Bash","cwd":"/home/u/repo","payload":"%s %09d"}`, strings.Repeat("x", 200), s.n)
}

// idle waits until the agent has nothing more to do, and then a little: nothing
// waits, and the agent has let go of the queue.
func (s *served) idle() {
	s.wait(time.Millisecond, "the agent to be idle", func() bool {
		if len(agenttest.List(s, spool(s.project, "incoming"))) > 0 {
			return false
		}
		f, err := os.Open(s.queuePath())
		if err != nil {
			s.Fatal(err)
		}
		defer f.Close()
		return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil
	})
	<-time.After(5 * time.Millisecond)
}

// wait looks at a condition every so often, or without a pause.
func (s *served) wait(pause time.Duration, what string, ok func() bool) {
	for start := time.Now(); !ok(); {
		if time.Since(start) > 30*time.Second {
			s.Fatalf("waited in vain for %s", what)
		}
		if pause > 0 {
			<-time.After(pause)
		}
	}
}

// seen is the time from the rename of a drop until its line can be read in the
// queue, which is full.
func (s *served) seen() time.Duration {
	drop := s.signal()
	want := []byte(drop + "\n")
	start := s.drop(drop)
	s.wait(0, "the drop to be in the queue", func() bool {
		n, _ := s.queue.ReadAt(s.buf, 0)
		return bytes.Contains(s.buf[:n], want)
	})
	took := time.Since(start)
	s.idle()
	return took
}

// answered is the time from the rename of a request until its reply, with 100
// signals, is there.
func (s *served) answered() time.Duration {
	s.refill()
	s.n++
	id := fmt.Sprint("request-", s.n)
	tmp := filepath.Join(spool(s.project, "tmp"), id)
	reply := filepath.Join(spool(s.project, "control"), id+".signals")
	agenttest.Write(s, tmp, "")
	start := time.Now()
	if err := os.Rename(tmp, filepath.Join(spool(s.project, "control"), id+".drain")); err != nil {
		s.Fatal(err)
	}
	s.wait(0, "the reply", func() bool { return unix.Access(reply, unix.F_OK) == nil })
	took := time.Since(start)
	if n := lines(s.B, reply); n != 100 {
		s.Fatalf("the reply has %d signals, want 100", n)
	}
	if err := os.Remove(reply); err != nil {
		s.Fatal(err)
	}
	s.idle()
	return took
}

// syncer measures one fdatasync of a file of the size of a queue, which is overwritten
// in place.
func syncer(b *testing.B, dir string) func() time.Duration {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return func() time.Duration { return syncNow(b, f) }
}

// drainSyncer measures the syncs that a drain cannot do without: of the record, and
// of files that are new, which are the reply and what the reply is copied to.
func drainSyncer(b *testing.B, dir string, files int) func() time.Duration {
	inPlace := syncer(b, dir)
	return func() time.Duration {
		took := inPlace()
		for range files {
			f, err := os.CreateTemp(dir, "")
			if err != nil {
				b.Fatal(err)
			}
			took += syncNow(b, f)
			f.Close()
			if err := os.Remove(f.Name()); err != nil {
				b.Fatal(err)
			}
		}
		return took
	}
}

func syncNow(b *testing.B, f *os.File) time.Duration {
	if _, err := f.WriteAt(make([]byte, queueSize), 0); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// queueSize is about the size of a queue of 100 signals.
const queueSize = 30 << 10

func visible(b *testing.B, dir string) {
	plain, synced := serve(b, dir, false), serve(b, dir, true)
	defer plain.stop()
	defer synced.stop()
	m := inTurns(times(500, 50), plain.seen, synced.seen, syncer(b, dir))
	within("drop visible in the queue, without fsync", m[0], 0, time.Millisecond, "at most 1 ms")
	within("  with fsync (one fdatasync)", m[1], m[2], time.Millisecond+m[2], "at most 1 ms + the sync")
}

func request(b *testing.B, dir string) {
	plain, synced := serve(b, dir, false), serve(b, dir, true)
	defer plain.stop()
	defer synced.stop()
	m := inTurns(times(100, 10), plain.answered, synced.answered, drainSyncer(b, dir, 1))
	within("request to reply, 100 signals, without fsync", m[0], 0, 1500*time.Microsecond, "at most 1.5 ms")
	within("  with fsync (its two syncs)", m[1], m[2], 1500*time.Microsecond+m[2], "at most 1.5 ms + the syncs")
}

// drained is how long "agent drain" takes, and prints 100 signals.
func (s *served) drained() time.Duration {
	s.refill()
	took := printed(s.B, in(s.project, s.user.Agent("drain")), s.project)
	s.idle()
	return took
}

// drainer returns how long the original's drain takes, and prints as many signals
// of the same size.
func (s *served) drainer(original string) func() time.Duration {
	text := agenttest.Read(s, s.queuePath())
	project := filepath.Join(s.user.Home, "original")
	agenttest.Mkdir(s, project, ".spool")
	return func() time.Duration {
		agenttest.Write(s, spool(project, "distill-pending.queue"), text)
		return printed(s.B, in(project, s.user.Command(original, "drain")), project)
	}
}

// printed is how long a command takes that must print 100 lines.
func printed(b *testing.B, cmd *exec.Cmd, dir string) time.Duration {
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = out
	took := run(b, cmd, "")
	if n := lines(b, out.Name()); n != 100 {
		b.Fatalf("%q printed %d signals, want 100", cmd.Args, n)
	}
	return took
}

func drain(b *testing.B, dir, original string) {
	plain, synced := serve(b, dir, false), serve(b, dir, true)
	defer plain.stop()
	defer synced.stop()
	name := "agent drain, 100 signals, without fsync"
	if original == "" {
		m := inTurns(times(100, 10), plain.drained, synced.drained)
		printRow(name, short(m[0]), "", "", "", "")
		printRow("  with fsync", short(m[1]), "", "", "", "")
		return
	}
	m := inTurns(times(100, 10), plain.drained, synced.drained, plain.drainer(original), drainSyncer(b, dir, 2))
	atMost(name+" (the original's)", m[0], m[2], 2)
	within("  with fsync (its three syncs)", m[1], m[3], 2*m[2]+m[3], "at most 2.00 x + the syncs")
}
