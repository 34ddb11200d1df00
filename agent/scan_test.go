package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

func TestFoldsWhatIsThereAndWhatComes(t *testing.T) {
	p := dir(t)
	drop(t, p, "before")
	r := start(t, Config{}, p)
	queued(t, p, "before")
	r.until(p, StateServing)
	drop(t, p, "after")
	queued(t, p, "before", "after")
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if h, ok, err := Serving(open(t, p)); ok || err != nil || h.State != StateStopped {
		t.Errorf("it has ended, but: %+v, %v, %v", h, ok, err)
	}
}

func TestMakesTheSpool(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	ignore, err := os.ReadFile(inSpool(p, ".gitignore"))
	if string(ignore) != "*\n" {
		t.Errorf(".gitignore has %q (%v)", ignore, err)
	}
}

func TestServesSeveral(t *testing.T) {
	a, b := dir(t), dir(t)
	r := start(t, Config{}, a, b, a) // naming one twice does no harm
	r.until(a, StateServing)
	r.until(b, StateServing)
	drop(t, a, "one")
	drop(t, b, "two")
	queued(t, a, "one")
	queued(t, b, "two")
}

// A producer that cannot rename writes a dot-file, or even the drop itself.
func TestFoldsDropsWrittenInPlace(t *testing.T) {
	p := dir(t)
	start(t, Config{}, p).until(p, StateServing)
	f, err := os.Create(inSpool(p, "incoming", "x.json"))
	must(t, err)
	fmt.Fprint(f, `{"recorded_at":1,`)
	fmt.Fprint(f, `"tool_name":"slow"}`)
	must(t, f.Close())
	queued(t, p, "slow")
	must(t, os.WriteFile(inSpool(p, "incoming", ".y"), []byte(`{"recorded_at":1,"tool_name":"dot"}`), 0o600))
	must(t, os.Rename(inSpool(p, "incoming", ".y"), inSpool(p, "incoming", "y.json")))
	queued(t, p, "slow", "dot")
}

func TestRejectsAreLoggedHarmlessly(t *testing.T) {
	t.Parallel() // it waits long
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	name := "a\nb\x1b[2J\xff.json"
	must(t, os.WriteFile(inSpool(p, "incoming", name), []byte("no JSON: secret"), 0o600))
	// No event tells that its time of grace is over.
	eventually(t, "the reject is logged", func() bool { return strings.Contains(r.log.String(), `"message":"rejected"`) })
	for _, bad := range []string{"\x1b", "\xff", "secret"} {
		if strings.Contains(r.log.String(), bad) {
			t.Errorf("the log has %q", bad)
		}
	}
	if !strings.Contains(r.log.String(), `a\\nb\\x1b[2J\\xff.json`) {
		t.Errorf("the log does not name the reject")
	}
}

// request asks for a drain; reply waits for the answer.
func request(t *testing.T, p, id string) {
	t.Helper()
	tmp := inSpool(p, "tmp", id)
	must(t, os.WriteFile(tmp, nil, 0o600))
	must(t, os.Rename(tmp, inSpool(p, "control", id+spoolfiles.RequestSuffix)))
}

func reply(t *testing.T, p, id string) []string {
	t.Helper()
	path := inSpool(p, "control", id+spoolfiles.ReplySuffix)
	eventually(t, "there is a reply to "+id, func() bool { return exists(path) })
	names := tools(t, path)
	eventually(t, "the request "+id+" has gone", func() bool {
		return !exists(inSpool(p, "control", id+spoolfiles.RequestSuffix))
	})
	return names
}

func TestDrains(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	drop(t, p, "a")
	request(t, p, "one")
	if diff := cmp.Diff([]string{"a"}, reply(t, p, "one")); diff != "" {
		t.Error(diff)
	}
	request(t, p, "two")
	if got := reply(t, p, "two"); len(got) > 0 {
		t.Errorf("drained twice: %v", got)
	}
}

// What was dropped before the request is in the reply, always.
func TestBarrier(t *testing.T) {
	p := dir(t)
	start(t, Config{}, p).until(p, StateServing)
	for i := range 50 {
		var want []string
		for j := range 3 {
			want = append(want, fmt.Sprintf("%d-%d", i, j))
			drop(t, p, want[j])
		}
		id := fmt.Sprintf("r%d", i)
		request(t, p, id)
		if diff := cmp.Diff(want, reply(t, p, id)); diff != "" {
			t.Fatal(diff)
		}
		must(t, os.Remove(inSpool(p, "control", id+spoolfiles.ReplySuffix)))
	}
}

func TestRequestsFromBeforeTheStart(t *testing.T) {
	p := dir(t)
	open(t, p)
	drop(t, p, "a")
	request(t, p, "early")
	start(t, Config{}, p)
	if diff := cmp.Diff([]string{"a"}, reply(t, p, "early")); diff != "" {
		t.Error(diff)
	}
}

func TestFailedDrainIsAnswered(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	drop(t, p, "kept")
	queued(t, p, "kept")
	link := filepath.Join(p, "link") // with it, the queue is not changed
	must(t, os.Link(inSpool(p, queue.FileName), link))
	request(t, p, "again")
	path := inSpool(p, "control", "again"+spoolfiles.ErrorSuffix)
	eventually(t, "there is an error reply", func() bool { return exists(path) })
	line, err := os.ReadFile(path)
	must(t, err)
	if strings.Count(string(line), "\n") != 1 || len(line) < 5 {
		t.Errorf("the error reply is %q", line)
	}
	drop(t, p, "more")
	if s := r.until(p, StateError); !strings.Contains(s.Message, "hard links") {
		t.Errorf("the state says %q", s.Message)
	}
	must(t, os.Remove(link))
	request(t, p, "then")
	if diff := cmp.Diff([]string{"kept", "more"}, reply(t, p, "then")); diff != "" {
		t.Error(diff)
	}
	r.until(p, StateServing)
}

func TestUnclaimedReplyReturns(t *testing.T) {
	p := dir(t)
	opt := options()
	opt.ReplyTTL = 50 * time.Millisecond
	r := start(t, Config{Settings: Settings{Options: opt}}, p)
	r.until(p, StateServing)
	drop(t, p, "a")
	request(t, p, "one")
	eventually(t, "the reply has returned", func() bool { return strings.Contains(r.log.String(), "unclaimed") })
	queued(t, p, "a")
	if exists(inSpool(p, "control", "one.signals")) {
		t.Error("the reply is still there")
	}
}

func TestMisnamedRequestIsRejected(t *testing.T) {
	p := dir(t)
	start(t, Config{}, p).until(p, StateServing)
	must(t, os.WriteFile(inSpool(p, "control", "no good.drain"), nil, 0o600))
	eventually(t, "the request is rejected", func() bool { return exists(inSpool(p, "rejected", "no good.drain.reason")) })
}

// While a foreign program holds the lock nothing can be done, but to stop.
func TestStopsWhileTheQueueIsLocked(t *testing.T) {
	t.Parallel() // it waits long
	p := dir(t)
	r := start(t, Config{}, p)
	drop(t, p, "a")
	queued(t, p, "a")
	r.until(p, StateServing)
	unlock := help(t, "lock", "locked", inSpool(p, "distill-pending.queue"))
	drop(t, p, "b")
	// The worker is about to wait for the lock, or does.
	if err := r.end(); err != nil {
		t.Error(err)
	}
	unlock()
	queued(t, p, "a")
	start(t, Config{}, p)
	queued(t, p, "a", "b")
}

func TestLockedQueueConcernsNoOther(t *testing.T) {
	t.Parallel() // it waits long
	a, b := dir(t), dir(t)
	r := start(t, Config{}, a, b)
	drop(t, a, "1")
	queued(t, a, "1")
	r.until(b, StateServing)
	unlock := help(t, "lock", "locked", inSpool(a, "distill-pending.queue"))
	drop(t, a, "2")
	drop(t, b, "3")
	queued(t, b, "3")
	if s := r.until(a, StateError); !strings.Contains(s.Message, "lock") {
		t.Errorf("the state says %q", s.Message)
	}
	unlock()
	queued(t, a, "1", "2")
	r.until(a, StateServing)
}

func TestOneBadRequestDelaysNoOther(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	// It can neither be answered nor refused.
	must(t, os.Mkdir(inSpool(p, "control", "a.error"), 0o700))
	must(t, os.WriteFile(inSpool(p, "control", "a.signals"), nil, 0o600))
	request(t, p, "a")
	drop(t, p, "after")
	request(t, p, "b")
	reply(t, p, "b")
}
