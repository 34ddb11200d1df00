//go:build unix

package protocol

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spoolagent/internal/agenttest"
	"spoolagent/spoolfiles/signal"
)

// Of a name that is only nearly unique no test would ever see the other one.
var unique = regexp.MustCompile(`^[0-9]{10,}-[0-9]+-[0-9a-z-]{8,}\.json$`)

// A producer that is killed has left its drop whole, or none. Names are unique
// also where several processes make many at once.
func TestProducersKilled(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "")
		for i := range 10 {
			argv := []string{s.project}
			if !l.shell {
				argv = append(argv, fmt.Sprintf("doomed-%d", i), "1000")
			}
			cmd := l.command(s, l.drop, argv...)
			stdin, feed, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = stdin
			err = cmd.Start()
			stdin.Close()
			if err != nil {
				t.Fatal(err)
			}
			if l.shell { // it is in the middle of its drop
				io.WriteString(feed, `{"payload":"<half`)
				agenttest.Until(s, "the drop is begun", func() bool { return len(s.list("tmp")) > i })
			} else {
				agenttest.Until(s, "some drops are made", func() bool { return len(s.list("incoming")) > 20*i })
			}
			agenttest.KillGroup(cmd)
			cmd.Wait()
			feed.Close()
		}
		var names []string
		var mu sync.Mutex
		var all sync.WaitGroup
		for p := range 4 {
			all.Go(func() {
				made := l.produce(s, fmt.Sprintf("whole-%d", p), 50)
				mu.Lock()
				names = append(names, made...)
				mu.Unlock()
			})
		}
		all.Wait()
		made := map[string]bool{}
		for _, file := range s.list("incoming") {
			if !unique.MatchString(file) {
				t.Errorf("the name %s has no time, process id and random part", file)
			}
			data, err := os.ReadFile(s.spool("incoming", file))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := signal.DecodeDrop(data, signal.Origin{}); err != nil {
				t.Errorf("%s is no drop: %v: %q", file, err, data)
			}
			for _, name := range agenttest.Names(string(data)) {
				made[name] = true
			}
			if info, err := os.Stat(s.spool("incoming", file)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, info.Mode(), err)
			}
		}
		for _, name := range names {
			if !made[name] {
				t.Errorf("%s was not made", name)
			}
		}
	})
}

// What cannot be stored is told by the exit status, and is no drop.
func TestProducersFail(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		produce := func(s *stage) result {
			argv := []string{s.project}
			if !l.shell {
				argv = append(argv, "n", "1")
			}
			return s.run(l.command(s, l.drop, argv...), `{"payload":"<n-0>"}`)
		}
		for _, dir := range []string{"", "tmp", "incoming"} {
			t.Run("link "+dir, func(t *testing.T) {
				s := newStage(t, "")
				// A .spool that leads elsewhere may have all that is missing there.
				elsewhere := filepath.Join(s.Home, "elsewhere")
				if err := os.Rename(s.spool(dir), elsewhere); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(elsewhere, s.spool(dir)); err != nil {
					t.Fatal(err)
				}
				if r := produce(s); r.status == 0 {
					t.Errorf("a link was followed: %+v", r)
				}
				filepath.WalkDir(elsewhere, func(path string, d fs.DirEntry, err error) error {
					if err != nil || !d.IsDir() {
						t.Errorf("something was written through the link: %s, %v", path, err)
					}
					return nil
				})
			})
		}
	})
}

// Where recording is off, a producer stores nothing and succeeds.
func TestOff(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "")
		agenttest.Write(s, s.spool("off"), "")
		argv := []string{s.project}
		if !l.shell {
			argv = append(argv, "n", "1")
		}
		if r := s.run(l.command(s, l.drop, argv...), `{"payload":"<n-0>"}`); r.status != 0 {
			t.Errorf("%+v", r)
		}
		for _, dir := range []string{"tmp", "incoming"} {
			if got := s.list(dir); len(got) > 0 {
				t.Errorf("%s has %q", dir, got)
			}
		}
	})
}

// A consumer that dies before it has an answer takes nothing with it.
func TestKilledAfterRequest(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "reply_ttl = \"1s\"")
		s.drop("one")
		cmd := l.consumer(s, "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		agenttest.Until(s, "it has asked", func() bool { return len(s.control(".drain")) == 1 })
		agenttest.KillGroup(cmd)
		cmd.Wait()
		s.start()
		s.returned(1)
		s.expect(l, "one")
		s.checkLedger(1)
	})
}

// blocked is a consumer that cannot print all that it was given: its standard
// output is a pipe that is full.
func (s *stage) blocked(l language) (cmd *exec.Cmd, output *os.File) {
	s.Helper()
	output, w, err := os.Pipe()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { output.Close() })
	cmd = l.consumer(s, "60")
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		s.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 1)); err != nil {
		s.Fatal(err)
	}
	return cmd, output
}

// A consumer that dies over its reply has not acknowledged it: all comes
// again, in order, once.
func TestKilledOverReply(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "reply_ttl = \"1s\"")
		s.start()
		names := s.dropMuch()
		cmd, _ := s.blocked(l)
		agenttest.KillGroup(cmd)
		cmd.Wait()
		if st := s.status(); st.Queued+st.Replies == 0 {
			t.Errorf("the reply went with its consumer: %+v", st)
		}
		s.returned(len(names))
		s.expect(l, names...)
		s.checkLedger(len(names))
	})
}

// A consumer that takes too long is told that it was too late, and the signals
// come again.
func TestTooLate(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "reply_ttl = \"1s\"")
		s.start()
		names := s.dropMuch()
		cmd, output := s.blocked(l)
		s.returned(len(names))
		if _, err := io.Copy(io.Discard, output); err != nil {
			t.Fatal(err)
		}
		if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("a consumer that was too late ended with status %d", cmd.ProcessState.ExitCode())
		}
		s.expect(l, names...)
		s.checkLedger(len(names))
	})
}

// A consumer whose output fails has not acknowledged.
func TestOutputFails(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "reply_ttl = \"1s\"")
		s.start()
		names := s.dropMuch()
		cmd, output := s.blocked(l)
		output.Close()
		if cmd.Wait(); cmd.ProcessState.ExitCode() == 0 {
			t.Error("a consumer whose reader has gone ended with status 0")
		}
		s.returned(len(names))
		s.expect(l, names...)
	})
}

// Who withdraws has taken nothing.
func TestWithdrawn(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "")
		s.drop("one")
		for _, seconds := range []string{"0", "1"} {
			if r := s.run(l.consumer(s, seconds), ""); r.status != 4 || r.stdout != "" {
				t.Errorf("without an agent, after %s s: %+v", seconds, r)
			}
		}
		if left := slices.Concat(s.list("control"), s.list("tmp")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		s.start()
		s.expect(l, "one")
		s.checkLedger(1)
		if st := s.status(); st.Ledger.Returned != 0 {
			t.Errorf("a withdrawn request was answered: %+v", st)
		}
	})
}

// A refusal is printed, and takes nothing.
func TestRefused(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "")
		s.start()
		s.expect(l)
		s.drop("one")
		agenttest.Until(s, "it is folded", func() bool { return s.status().Queued == 1 })
		// A queue with a second name must not be changed.
		if err := os.Link(s.spool("distill-pending.queue"), filepath.Join(s.Home, "link")); err != nil {
			t.Fatal(err)
		}
		if r := s.run(l.consumer(s, "60"), ""); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "2 hard links") {
			t.Errorf("a refusal: %+v", r)
		}
		if err := os.Remove(filepath.Join(s.Home, "link")); err != nil {
			t.Fatal(err)
		}
		s.expect(l, "one")
	})
}

// Every producer's drop is in the answer to a request that was made after it,
// also while others drop as fast as they can.
func TestBarrier(t *testing.T) {
	eachLanguage(t, func(t *testing.T, consumer language) {
		s := newStage(t, "cap = 0\nfsync = false")
		s.start()
		done := make(chan struct{})
		var noise sync.WaitGroup
		noise.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-tick.C:
					s.drop(fmt.Sprintf("noise-%d", i))
				}
			}
		})
		defer noise.Wait()
		defer close(done)
		for _, producer := range languages {
			names := producer.produce(s, producer.name, 16)
			got := agenttest.Names(s.must(consumer.consumer(s, "60"), ""))
			for _, name := range names {
				if !slices.Contains(got, name) {
					t.Errorf("%s was renamed before the request and is not in the reply", name)
				}
			}
		}
	})
}

// The line that the protocol gives for asking whether an agent serves.
func TestIsOneServing(t *testing.T) {
	const line = "[ -e .spool/agent.lock ] && ! flock -ns .spool/agent.lock true"
	if text, err := os.ReadFile(protocol); err != nil || !bytes.Contains(text, []byte("`"+line+"`")) {
		t.Fatalf("it says something else now: %v", err)
	}
	s := newStage(t, "")
	ask := func() int {
		cmd := s.Command("sh", "-c", line)
		cmd.Dir = s.project
		return s.run(cmd, "").status
	}
	if ask() == 0 {
		t.Error("before any agent, one serves")
	}
	s.start()
	if ask() != 0 {
		t.Error("an agent serves, and does not seem to")
	}
	s.agent.Kill()
	if ask() == 0 {
		t.Error("a killed agent seems to serve")
	}
}
