package spoolfiles

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Drops are listed by modification time to the nanosecond, then by name.
func TestListDrops(t *testing.T) {
	s := newSpool(t)
	const n = 1500
	want := make([]string, n)
	at := time.Unix(1763852400, 0)
	for i := range want {
		want[i] = fmt.Sprintf("%s%05d.json", strings.Repeat("z", i%3), i)
	}
	// Three by three at one time, and within the three by name.
	for i := 0; i+3 <= n; i += 3 {
		slices.Sort(want[i : i+3])
	}
	for _, i := range rand.Perm(n) {
		path := filepath.Join(s.Incoming.Path(), want[i])
		must(t, os.WriteFile(path, nil, 0o600))
		when := at.Add(time.Duration(i/3) * 100)
		must(t, os.Chtimes(path, when, when))
	}
	for _, other := range []string{".hidden.json", "x.jso", "x.json.tmp", ".json", "json"} {
		must(t, os.WriteFile(filepath.Join(s.Incoming.Path(), other), nil, 0o600))
	}
	drops, err := s.ListDrops()
	must(t, err)
	var got []string
	for _, e := range drops {
		got = append(got, e.Name)
	}
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("%d drops, and number %d is %s, not %s", len(got), i, got[i], want[i])
			}
		}
		t.Fatalf("%d drops, want %d", len(got), n)
	}
}

// What is in work is not yet in the queue, and so waits like what is in incoming.
func TestCountDrops(t *testing.T) {
	s := newSpool(t)
	for range 3 {
		_, err := s.Drop([]byte("{}"))
		must(t, err)
	}
	drops, err := s.ListDrops()
	must(t, err)
	must(t, s.Incoming.Rename(drops[0].Name, s.Work, drops[0].Name))
	must(t, os.WriteFile(filepath.Join(s.Work.Path(), "other"), nil, 0o600))
	if n, err := s.CountDrops(); n != 3 || err != nil {
		t.Errorf("%d drops, %v", n, err)
	}
	if drops, err = s.ListDrops(); len(drops) != 2 || err != nil {
		t.Errorf("%d listed, %v", len(drops), err)
	}
}

func TestScanControl(t *testing.T) {
	s := newSpool(t)
	for i, name := range []string{"b.drain", "a.drain", "a.signals", "x.error", "r.returning", "bad id.drain", "bad id.signals", ".follow-f.lock", "other", ".hidden.drain"} {
		path := filepath.Join(s.Control.Path(), name)
		must(t, os.WriteFile(path, nil, 0o600))
		when := time.Unix(1763852400+int64(i), 0)
		must(t, os.Chtimes(path, when, when))
	}
	must(t, os.Mkdir(filepath.Join(s.Control.Path(), "d.signals"), 0o700))
	c, err := s.ScanControl()
	must(t, err)
	names := func(list []ControlFile) (s string) {
		for _, f := range list {
			s += f.ID + ":" + f.Name + " "
		}
		return s
	}
	got := []string{names(c.Requests), names(c.Replies), names(c.Errors), names(c.Returning), names(c.Misfits)}
	want := []string{"b:b.drain a:a.drain ", "a:a.signals ", "x:x.error ", "r:r.returning ", ":bad id.drain :d.signals "}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRejectName(t *testing.T) {
	s := newSpool(t)
	taken := func(name string) { must(t, os.WriteFile(filepath.Join(s.Rejected.Path(), name), nil, 0o600)) }
	taken("taken.json")
	taken("alone.claude.json" + ReasonSuffix)
	must(t, os.Mkdir(filepath.Join(s.Rejected.Path(), "odd.json"+ReasonSuffix), 0o700))
	long := strings.Repeat("n", 250)
	seen := map[string]bool{}
	for _, tt := range []struct {
		name string
		free bool
	}{
		{"x.json", true}, {"y", true}, {".json", true}, {"taken.json", false}, {"alone.claude.json", true}, {"odd.json", false},
		{long + ".json", false}, {long + "2.json", false},
	} {
		got := s.RejectName(tt.name)
		if seen[got] || len(got) > 240 || (got == tt.name) != tt.free || !strings.HasSuffix(got, tt.name[max(0, len(tt.name)-100):]) {
			t.Errorf("%q: %q", tt.name, got)
		}
		seen[got] = true
	}
}

// The newest are kept, by the time of the rejection and not of the drop.
func TestPruneRejects(t *testing.T) {
	s := newSpool(t)
	in := func(name string) string { return filepath.Join(s.Rejected.Path(), name) }
	at := func(name string, sec int) {
		when := time.Unix(1763852400+int64(sec), 0)
		must(t, os.Chtimes(in(name), when, when))
	}
	for i := range MaxRejects + 3 {
		name := fmt.Sprintf("%03d.json", i)
		if i == 1 { // a directory, with something in it
			must(t, os.MkdirAll(in(name+"/sub"), 0o700))
		} else {
			must(t, os.WriteFile(in(name), nil, 0o600))
		}
		must(t, os.WriteFile(in(name+ReasonSuffix), nil, 0o600))
		at(name, -i)
		at(name+ReasonSuffix, i)
	}
	must(t, os.WriteFile(in("alone.json"+ReasonSuffix), nil, 0o600)) // a kill came before the rename
	at("alone.json"+ReasonSuffix, -1)
	must(t, s.PruneRejects())
	names, err := s.Rejected.List()
	must(t, err)
	if n, err := s.CountRejects(); len(names) != 2*MaxRejects || n != MaxRejects || err != nil {
		t.Errorf("%d files, %d rejects, %v", len(names), n, err)
	}
	for _, gone := range []string{"000.json", "001.json", "002.json", "alone.json"} {
		if slices.Contains(names, gone) || slices.Contains(names, gone+ReasonSuffix) {
			t.Errorf("%s is still there", gone)
		}
	}
}

func TestCleanTmp(t *testing.T) {
	s := newSpool(t)
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": TmpTTL + time.Minute, "young": TmpTTL - time.Minute} {
		path := filepath.Join(s.Tmp.Path(), name)
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chtimes(path, now, now.Add(-age)))
	}
	must(t, s.CleanTmp(now))
	if names, err := s.Tmp.List(); !slices.Equal(names, []string{"young"}) || err != nil {
		t.Errorf("%q, %v", names, err)
	}
}
