//go:build unix

package queue

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// These tests kill a process that folds, drains and returns, at any moment,
// while strangers take from and add to the queue under its lock.

const childEnv = "SPOOL_QUEUE_CHILD"

func TestMain(m *testing.M) {
	if job, ok := os.LookupEnv(childEnv); ok {
		if err := child(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child works in a project until there is nothing left to do. Drops come from
// the directory stock, and what is drained goes to taken: one rename each, so
// that a signal is in one place at any instant.
func child(job string) error {
	mode, project, _ := strings.Cut(job, " ")
	sp, err := spoolfiles.Create(project)
	if err != nil {
		return err
	}
	defer sp.Close()
	opt := options(100)
	opt.ReplyTTL = 0
	q := New(sp, opt, nil)
	q.plain = strings.Contains(mode, "plain")
	ctx := context.Background()
	stock, err := os.ReadDir(filepath.Join(project, "stock"))
	if err != nil {
		return err
	}
	for n := 0; len(stock) > 0; n++ {
		if n == 1 {
			// The first fold reads the queue; the later ones mostly write.
			fmt.Println("ready")
		}
		for _, e := range stock[:min(1+rand.IntN(3), len(stock))] {
			stock = stock[1:]
			if err := os.Rename(filepath.Join(project, "stock", e.Name()), filepath.Join(sp.Incoming.Path(), e.Name())); err != nil {
				return err
			}
		}
		if _, err := q.Fold(ctx); err != nil {
			return err
		}
		if rand.IntN(30) > 0 { // a full queue takes the longest to copy
			continue
		}
		id := spoolfiles.NewID()
		_, err := q.Take(ctx, id)
		if err != nil {
			return err
		}
		if rand.IntN(2) == 0 {
			if _, err := q.Sweep(ctx, time.Now()); err != nil {
				return err
			}
			continue
		}
		name := id + spoolfiles.ReplySuffix
		if err := os.Rename(filepath.Join(sp.Control.Path(), name), filepath.Join(project, "taken", name)); err != nil {
			return err
		}
	}
	return nil
}

// restock fills up the stock. The payloads are large, so that the copies take
// time enough to be hit.
func (s *scene) restock(n int) {
	s.Helper()
	dir := filepath.Join(s.sp.Project, "stock")
	have, err := os.ReadDir(dir)
	if err != nil {
		s.Fatal(err)
	}
	for range n - len(have) {
		s.clock++
		name := s.fresh("d")
		line := fmt.Sprintf(`{"recorded_at":7,"tool_name":"%s","cwd":"/","payload":"%s"}`, name, strings.Repeat("x", 3000+rand.IntN(1000)))
		path := filepath.Join(dir, fmt.Sprintf("%08d.json", s.clock))
		if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
			s.Fatal(err)
		}
		at := time.Unix(1_700_000_000+s.clock, 0)
		if err := os.Chtimes(path, at, at); err != nil {
			s.Fatal(err)
		}
	}
}

// collect books what the child has drained.
func (s *scene) collect() {
	dir := filepath.Join(s.sp.Project, "taken")
	replies, _ := os.ReadDir(dir)
	for _, e := range replies {
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			s.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			sig, err := signal.ParseLine(line)
			if err != nil {
				s.Fatalf("a reply has the line %q: %v", line, err)
			}
			s.taken[*sig.ToolName]++
		}
		os.Remove(path)
	}
}

// locked does something to the queue as a stranger does, under its lock.
func (s *scene) locked(f func()) {
	s.Helper()
	file, err := os.OpenFile(queuePath(s.sp), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer file.Close()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if err == nil {
			break
		}
		if err != syscall.EINTR {
			s.Fatal(err)
		}
	}
	f()
}

func (s *scene) strange() {
	switch rand.IntN(5) {
	case 0:
		s.locked(s.take)
	case 1:
		s.locked(s.appendTorn)
	case 2:
		s.locked(s.appendAtCap)
	default:
		s.locked(s.append)
	}
}

type kills struct{ tried, late, pending, mid int }

// killing kills so many times, and then until a kill has hit a transaction: that is
// chance, too.
func killing(t *testing.T, mode string, withStrangers bool, rounds int) {
	t.Helper()
	s := newScene(t, 100)
	s.plain = strings.Contains(mode, "plain")
	for _, dir := range []string{"stock", "taken"} {
		if err := os.Mkdir(filepath.Join(s.sp.Project, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var k kills
	for k.tried < rounds || k.pending == 0 {
		if k.tried == 100*rounds {
			t.Fatalf("none of %d kills hit a transaction", k.tried)
		}
		s.restock(90)
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childEnv+"="+mode+" "+s.sp.Project)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(out)
		if line, err := in.ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("the child says %q, %v: %s", line, err, &stderr)
		}
		go func() {
			time.Sleep(time.Duration(rand.IntN(8_000)) * time.Microsecond) // the moment is chance, and meant to be
			cmd.Process.Kill()
		}()
		if withStrangers && rand.IntN(2) == 0 {
			s.strange() // may well be in line for the lock when the child dies
		}
		io.Copy(io.Discard, in)
		if cmd.Wait(); stderr.Len() > 0 {
			t.Fatalf("the child: %s", &stderr)
		}
		if cmd.ProcessState.Exited() {
			k.late++
		}
		k.tried++
		if r, cells := s.pending(); r != nil {
			k.pending++
			if begun(cells) && slices.ContainsFunc(cells, func(c cell) bool { return c.Cursor < c.End }) {
				k.mid++
			}
		}
		if withStrangers {
			for range rand.IntN(3) {
				s.strange()
			}
		}
		if k.tried%3 == 0 {
			s.check()
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	s.check()
	t.Logf("%d kills, %d too late, %d in a transaction, %d within the copies", k.tried, k.late, k.pending, k.mid)
}

// check recovers, with what is in stock and what the child has taken.
func (s *scene) check() {
	s.Helper()
	s.collect()
	made := s.made
	s.made = map[string]bool{}
	for name := range made {
		s.made[name] = true
	}
	stock, _ := os.ReadDir(filepath.Join(s.sp.Project, "stock"))
	for _, e := range stock {
		data, err := os.ReadFile(filepath.Join(s.sp.Project, "stock", e.Name()))
		if err != nil {
			s.Fatal(err)
		}
		sig, err := signal.ParseLine(data)
		if err != nil {
			s.Fatal(err)
		}
		delete(s.made, *sig.ToolName)
	}
	s.recoverAll()
	s.made = made
	s.sorted()
}

// sorted checks that our own signals are in the order of their drops.
func (s *scene) sorted() {
	var ours []int
	for line := range strings.Lines(readQueue(s, s.sp)) {
		sig, err := signal.ParseLine([]byte(line))
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(*sig.ToolName, "d")); err == nil {
			ours = append(ours, n)
		}
	}
	if !slices.IsSorted(ours) {
		s.Errorf("out of order: %v", ours)
	}
}

func rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

func TestKill(t *testing.T) {
	t.Parallel()
	killing(t, "exact", false, rounds(60))
}

func TestKillPlain(t *testing.T) {
	t.Parallel()
	killing(t, "plain", false, rounds(60))
}
