//go:build unix

package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// need skips a test whose program is not on this machine.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("no %s here", program)
	}
}

// These are programs that know only the queue, and lock it as the original
// does. Each appends and drains by turns, and keeps what it drained.
const shell = `
i=0
while [ $i -lt 15 ]; do
	flock "$1" sh -c 'printf "%s\n" "{\"recorded_at\":7,\"tool_name\":\"sh$2\",\"cwd\":\"/\"}" >>"$1"' - "$1" $i
	flock "$1" sh -c 'cat "$1" >>"$2"; : >"$1"' - "$1" "$2"
	i=$((i + 1))
done`

const python = `
import fcntl, sys
for i in range(150):
    with open(sys.argv[1], "a+") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        if i % 3:
            f.write('{"recorded_at":7,"tool_name":"py%d","cwd":"/"}\n' % i)
        else:
            f.seek(0)
            open(sys.argv[2], "a").write(f.read())
            f.truncate(0)
`

// TestBesideStrangers lets flock(1) and Python at a queue that several of ours
// fold and drain.
func TestBesideStrangers(t *testing.T) {
	need(t, "flock")
	need(t, "python3")
	sp := project(t)
	q := New(sp, options(0), nil)
	fold(t, q)
	writeQueue(t, sp, "")
	var wg sync.WaitGroup
	run := func(taken string, args ...string) {
		wg.Go(func() {
			cmd := exec.Command(args[0], append(args[1:], queuePath(sp), filepath.Join(sp.Project, taken))...)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: %v: %s", args[0], err, out)
			}
		})
	}
	run("shell", "sh", "-c", shell, "sh")
	run("python", "python3", "-c", python)
	const workers, each = 4, 25
	for w := range workers {
		wg.Go(func() { work(t, sp, w, each) })
	}
	wg.Wait()

	want := map[string]bool{}
	for i := range 15 {
		want[fmt.Sprintf("sh%d", i)] = true
	}
	for i := range 150 {
		if i%3 > 0 {
			want[fmt.Sprintf("py%d", i)] = true
		}
	}
	for w := range workers {
		for i := range each {
			want[fmt.Sprintf("w%d-%d", w, i)] = true
		}
	}
	files, err := filepath.Glob(filepath.Join(sp.Project, "[psw]*"))
	must(t, err)
	seen := map[string]string{}
	for _, path := range append(files, queuePath(sp)) {
		data, err := os.ReadFile(path)
		must(t, err)
		for line := range bytes.Lines(data) {
			s, err := signal.ParseLine(line)
			if err == signal.ErrBlank {
				continue
			}
			if err != nil {
				t.Fatalf("%s: %q: %v", path, line, err)
			}
			name := *s.ToolName
			if seen[name] != "" || !want[name] {
				t.Errorf("%s is in %s and %s", name, seen[name], path)
			}
			seen[name] = path
		}
	}
	for name := range want {
		if seen[name] == "" {
			t.Errorf("%s is gone", name)
		}
	}
	if l := closes(t, New(sp, options(0), nil)); l.Folded != workers*each || l.Rejected != 0 {
		t.Errorf("%+v", l)
	}
}

// A program that appends without the lock, at any step of a transaction but the
// two of which the next system call is the change: nothing of it is lost.
func TestLocklessAppender(t *testing.T) {
	for _, limit := range []int{0, 5} {
		sp := project(t)
		q := New(sp, options(limit), nil)
		want := map[string]bool{}
		q.step = func(what string, n int64) int64 {
			if what == "copy" || what == "trim" {
				return n
			}
			name := fmt.Sprint("lockless", len(want))
			want[name] = true
			f, err := os.OpenFile(queuePath(sp), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
			must(t, err)
			_, err = f.WriteString(signalLine(name) + "\n")
			must(t, errors.Join(err, f.Close()))
			return n
		}
		seen := map[string]int{}
		for i := range 20 {
			for j := range 3 {
				name := fmt.Sprintf("drop%d-%d", i, j)
				want[name] = true
				place(t, sp, name+".json", signalLine(name), longAgo)
			}
			fold(t, q)
			if i%4 == 3 {
				for _, line := range take(t, q) {
					sig, err := signal.ParseLine([]byte(line))
					must(t, err)
					seen[*sig.ToolName]++
				}
			}
		}
		q.step = nil
		for _, line := range take(t, q) {
			sig, err := signal.ParseLine([]byte(line))
			must(t, err)
			seen[*sig.ToolName]++
		}
		l := closes(t, q)
		for name := range want {
			if seen[name] > 1 {
				t.Errorf("cap %d: %s came %d times", limit, name, seen[name])
			}
		}
		if missing := int64(len(want) - len(seen)); missing != l.Evicted || l.Rejected != 0 {
			t.Errorf("cap %d: %d of %d are missing, %d were evicted, %d rejected", limit, missing, len(want), l.Evicted, l.Rejected)
		}
	}
}

// work drops, folds and drains with a queue of its own.
func work(t *testing.T, project *spoolfiles.Spool, w, each int) {
	sp, err := spoolfiles.Open(project.Project)
	if err != nil {
		t.Error(err)
		return
	}
	defer sp.Close()
	q := New(sp, options(0), nil)
	for i := range each {
		if _, err := sp.Drop([]byte(signalLine(fmt.Sprintf("w%d-%d", w, i)))); err != nil {
			t.Error(err)
		}
		if _, err := q.Fold(context.Background()); err != nil {
			t.Error(err)
		}
		if i%8 != 7 {
			continue
		}
		id := spoolfiles.NewID()
		_, err := q.Take(context.Background(), id)
		if err != nil {
			t.Error(err)
			continue
		}
		name := id + spoolfiles.ReplySuffix
		err = os.Rename(filepath.Join(sp.Control.Path(), name), filepath.Join(sp.Project, "w-"+name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the other process returns replies at once
			t.Error(err)
		}
	}
}

// TestManyQueues: four goroutines with a Queue each, and another process.
func TestManyQueues(t *testing.T) {
	s := newScene(t, 100)
	for _, dir := range []string{"stock", "taken"} {
		must(t, os.Mkdir(filepath.Join(s.sp.Project, dir), 0o700))
	}
	s.restock(60)
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"=exact "+s.sp.Project)
	var out strings.Builder
	cmd.Stderr = &out
	must(t, cmd.Start())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() { work(t, s.sp, w, 20) })
	}
	wg.Wait()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	for w := range 4 {
		for i := range 20 {
			s.made[fmt.Sprintf("w%d-%d", w, i)] = true
		}
	}
	replies, err := filepath.Glob(filepath.Join(s.sp.Project, "w-*"))
	must(t, err)
	for _, path := range replies {
		must(t, os.Rename(path, filepath.Join(s.sp.Project, "taken", filepath.Base(path))))
	}
	s.check()
}
