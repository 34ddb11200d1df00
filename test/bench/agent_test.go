//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// served is a project with an agent, in a process of its own, that serves it.
type served struct {
	b     *testing.B
	sp    *spoolfiles.Spool
	queue *os.File
	buf   []byte
	n     int
}

func serve(b *testing.B, dir, agent string, fsync bool) *served {
	project := mkdir(b, dir, fmt.Sprintf("project-fsync-%v", fsync))
	config := project + ".toml"
	write(b, config, fmt.Sprintf("fsync = %v\nlog_level = \"error\"\n", fsync))
	cmd := command(dir, "", nil, agent, "run", "--project", project, "--config", config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	sp, err := spoolfiles.Create(project)
	if err != nil {
		b.Fatal(err)
	}
	s := &served{b: b, sp: sp, buf: make([]byte, 1<<20)}
	b.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			b.Errorf("the agent: %v", err)
		}
		s.queue.Close()
		sp.Close()
	})
	s.refill()
	if s.queue, err = os.Open(filepath.Join(sp.Root.Path(), queue.FileName)); err != nil {
		b.Fatal(err)
	}
	return s
}

// refill brings 100 signals, as many as the cap, and waits until they are in the queue.
func (s *served) refill() {
	for range 100 {
		if _, err := s.sp.Drop([]byte(s.signal())); err != nil {
			s.b.Fatal(err)
		}
	}
	s.wait(5*time.Millisecond, "the queue to be full", func() bool {
		path := filepath.Join(s.sp.Root.Path(), queue.FileName)
		_, err := os.Stat(path)
		return err == nil && lines(s.b, path) == 100
	})
	s.rest()
}

// signal is a drop that no other is like.
func (s *served) signal() string {
	s.n++
	return fmt.Sprintf(`{"recorded_at":1763852400,"tool_name":"Bash","cwd":"/home/u/repo","payload":"%s %09d"}`, strings.Repeat("x", 200), s.n)
}

// rest waits until the agent has nothing more to do, and then a little.
func (s *served) rest() {
	s.wait(time.Millisecond, "the agent to be idle", func() bool {
		n, err := s.sp.CountDrops()
		return err == nil && n == 0 && !s.pending()
	})
	<-time.After(5 * time.Millisecond)
}

// pending reports whether a transaction is under way.
func (s *served) pending() bool {
	for _, name := range []string{"queue.record-0", "queue.record-1"} {
		data, err := os.ReadFile(filepath.Join(s.sp.Root.Path(), name))
		if err == nil && bytes.HasPrefix(data, []byte("pending")) {
			return true
		}
	}
	return false
}

// wait looks at a condition every so often, or without a pause.
func (s *served) wait(pause time.Duration, what string, ok func() bool) {
	for start := time.Now(); !ok(); {
		if time.Since(start) > 30*time.Second {
			s.b.Fatalf("waited in vain for %s", what)
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
	name := fmt.Sprintf("%d.json", s.n)
	tmp := filepath.Join(s.sp.Tmp.Path(), name)
	write(s.b, tmp, drop)
	want := []byte(drop + "\n")
	start := time.Now()
	if err := os.Rename(tmp, filepath.Join(s.sp.Incoming.Path(), name)); err != nil {
		s.b.Fatal(err)
	}
	s.wait(0, "the drop to be in the queue", func() bool {
		n, _ := s.queue.ReadAt(s.buf, 0)
		return bytes.Contains(s.buf[:n], want)
	})
	took := time.Since(start)
	s.rest()
	return took
}

// drained is the time from the rename of a request until its reply, with 100
// signals, is there.
func (s *served) drained() time.Duration {
	s.refill()
	id := spoolfiles.NewID()
	tmp := filepath.Join(s.sp.Tmp.Path(), id)
	reply := filepath.Join(s.sp.Control.Path(), id+spoolfiles.ReplySuffix)
	write(s.b, tmp, "")
	start := time.Now()
	if err := os.Rename(tmp, filepath.Join(s.sp.Control.Path(), id+spoolfiles.RequestSuffix)); err != nil {
		s.b.Fatal(err)
	}
	s.wait(0, "the reply", func() bool { return unix.Access(reply, unix.F_OK) == nil })
	took := time.Since(start)
	if n := lines(s.b, reply); n != 100 {
		s.b.Fatalf("the reply has %d signals, want 100", n)
	}
	if err := os.Remove(reply); err != nil {
		s.b.Fatal(err)
	}
	s.rest()
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

// drainSyncer measures the syncs that a drain cannot do without: of the reply,
// which is a new file, and of the record.
func drainSyncer(b *testing.B, dir string) func() time.Duration {
	inPlace := syncer(b, dir)
	return func() time.Duration {
		reply, err := os.CreateTemp(dir, "")
		if err != nil {
			b.Fatal(err)
		}
		took := inPlace() + syncNow(b, reply)
		reply.Close()
		if err := os.Remove(reply.Name()); err != nil {
			b.Fatal(err)
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
	agent := build(b, dir, "agent", "spoolagent/cmd/agent")
	plain, synced := serve(b, dir, agent, false), serve(b, dir, agent, true)
	m := inTurns(times(500, 50), plain.seen, synced.seen, syncer(b, dir))
	within("drop visible in the queue, without fsync", m[0], 0, time.Millisecond, "at most 1 ms")
	more := m[1] - m[0]
	printRow("  more with fsync (one fdatasync)", short(more), short(m[2]), fmt.Sprintf("%.2f x", float64(more)/float64(m[2])),
		"at most 2 x", verdict(float64(more), 2*float64(m[2])))
}

func drain(b *testing.B, dir string) {
	agent := build(b, dir, "agent", "spoolagent/cmd/agent")
	plain, synced := serve(b, dir, agent, false), serve(b, dir, agent, true)
	m := inTurns(times(100, 10), plain.drained, synced.drained, drainSyncer(b, dir))
	within("request to reply, 100 signals, without fsync", m[0], 0, 2*time.Millisecond, "at most 2 ms")
	within("  with fsync (its three syncs)", m[1], m[2], 2*time.Millisecond+m[2], "at most 2 ms + the syncs")
}
