package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spoolagent/queue"
)

func report(t *testing.T, cfg ReportConfig) Status {
	t.Helper()
	cfg.Options = options()
	s, err := Report(context.Background(), cfg)
	must(t, err)
	return s
}

func TestReportWithoutAnyAgent(t *testing.T) {
	p, bare, gone := dir(t), dir(t), filepath.Join(dir(t), "gone")
	drop(t, p, "waits")
	s := report(t, ReportConfig{StateDir: filepath.Join(dir(t), "none"), Projects: []string{p, bare, gone}, Version: "mine"})
	if s.Running || s.PID != 0 || s.StartedAt != "" || s.Version != "mine" {
		t.Errorf("nobody runs, but: %+v", s)
	}
	byPath := map[string]ProjectStatus{}
	for i, ps := range s.Projects {
		byPath[ps.Path] = ps
		if i > 0 && s.Projects[i-1].Path >= ps.Path {
			t.Error("not in order")
		}
	}
	if ps := byPath[p]; ps.State != StateStopped || ps.Incoming != 1 || ps.Error != "" || ps.Cap != 100 || ps.LastFoldAt != "" {
		t.Errorf("a project with a spool: %+v", ps)
	}
	for _, path := range []string{bare, gone} {
		if ps := byPath[path]; ps.State != StateMissing || ps.Error == "" {
			t.Errorf("a project without a spool: %+v", ps)
		}
		if exists(inSpool(path)) {
			t.Error("the report made a spool")
		}
	}
}

func TestReportOfALivingAgent(t *testing.T) {
	p := dir(t)
	r := start(t, Config{}, p)
	r.until(p, StateServing)
	drop(t, p, "a")
	queued(t, p, "a")
	request(t, p, "one")
	reply(t, p, "one")
	drop(t, p, "b")
	queued(t, p, "b")
	s := report(t, ReportConfig{StateDir: r.state})
	if !s.Running || s.PID != os.Getpid() || s.Version != "test" || len(s.Projects) != 1 {
		t.Fatalf("%+v", s)
	}
	for _, at := range []string{s.StartedAt, s.Projects[0].LastFoldAt} {
		if _, err := time.Parse(time.RFC3339, at); err != nil {
			t.Error(err)
		}
	}
	got := s.Projects[0]
	got.LastFoldAt = ""
	want := ProjectStatus{Path: p, State: StateServing, Queued: 1, Replies: 1, Cap: 100, Ledger: Totals{Folded: 2, Drained: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	other := dir(t)
	if s := report(t, ReportConfig{StateDir: r.state, Projects: []string{other}, Only: true}); s.Running || len(s.Projects) != 1 {
		t.Errorf("asked for another project only: %+v", s)
	}
}

func TestReportOfAKilledAgent(t *testing.T) {
	p, state := dir(t), dir(t)
	kill := help(t, "agent", `"serving"`, state, p)
	eventually(t, "it is reported to live", func() bool {
		s := report(t, ReportConfig{StateDir: state})
		return s.Running && s.Version == "helper" && s.Projects[0].State == StateServing
	})
	if s := report(t, ReportConfig{StateDir: dir(t), Projects: []string{p}}); !s.Running || s.Version != "helper" {
		t.Errorf("it lives elsewhere, but: %+v", s)
	}
	kill()
	s := report(t, ReportConfig{StateDir: state, Projects: []string{p}})
	if s.Running || len(s.Projects) != 1 || s.Projects[0].State != StateStopped {
		t.Errorf("it is dead, but: %+v", s)
	}
	if left, _ := os.ReadDir(agentsDir(state)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReportDoesNotWaitForTheLock(t *testing.T) {
	t.Parallel() // it waits long
	p := dir(t)
	open(t, p)
	drop(t, p, "a")
	must(t, os.WriteFile(inSpool(p, queue.FileName), nil, 0o600))
	unlock := help(t, "lock", "locked", inSpool(p, queue.FileName))
	s := report(t, ReportConfig{StateDir: dir(t), Projects: []string{p}})
	if ps := s.Projects[0]; !strings.Contains(ps.Error, "lock") || ps.Incoming != 1 {
		t.Errorf("%+v", ps)
	}
	unlock()
}

func TestReportIsTheDocumentedJSON(t *testing.T) {
	data, err := json.Marshal(Status{Projects: []ProjectStatus{{}}})
	must(t, err)
	want := `{"running":false,"pid":0,"version":"","started_at":"","projects":[{"path":"",` +
		`"state":"","queued":0,"incoming":0,"replies":0,"rejected":0,"cap":0,"ledger":{"folded":0,` +
		`"returned":0,"external":0,"drained":0,"evicted":0,"rejected":0},"last_fold_at":"","error":""}]}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
}

// Agents that come and go while others ask: whoever lives is seen, and nobody's
// files are taken for leftovers.
func TestRunningWhileAgentsComeAndGo(t *testing.T) {
	state := dir(t)
	ctx, cancel := context.WithCancel(context.Background())
	var askers sync.WaitGroup
	for range 2 {
		askers.Go(func() {
			for ctx.Err() == nil {
				if _, err := Running(state); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer askers.Wait()
	defer cancel()
	for i := range 50 {
		reg, err := register(state)
		must(t, err)
		must(t, reg.write(Info{Holder: Holder{PID: 1, Version: fmt.Sprint(i)}}))
		infos, err := Running(state)
		must(t, err)
		if len(infos) != 1 || infos[0].Version != fmt.Sprint(i) {
			t.Fatalf("agent %d lives, but: %+v", i, infos)
		}
		must(t, reg.close())
	}
}

func TestRunningPutsTheServiceFirst(t *testing.T) {
	state := dir(t)
	now := time.Now()
	for _, info := range []Info{
		{Holder: Holder{PID: 3, StartedAt: now}},
		{Holder: Holder{PID: 2, StartedAt: now.Add(-time.Hour)}},
		{Holder: Holder{PID: 1, StartedAt: now}, Service: true},
	} {
		reg, err := register(state)
		must(t, err)
		defer reg.close()
		must(t, reg.write(info))
	}
	infos, err := Running(state)
	must(t, err)
	for i, info := range infos {
		if info.PID != i+1 {
			t.Errorf("%d. is %d", i, info.PID)
		}
	}
}

// A path is any bytes, also in the status file and in status --json.
func TestPathsThatAreNotUTF8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + string(rapid.SliceOf(rapid.Byte()).Draw(t, "path"))
		want := ProjectState{Path: path, State: StateError, Error: "x", SameAs: path + "2"}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got ProjectState
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
	for path, want := range map[string]string{"/a\xff": `"path_bytes":"L2H/"`, "/a": `"error":""}`} {
		data, err := json.Marshal(ProjectStatus{Path: path})
		must(t, err)
		if !strings.Contains(string(data), want) {
			t.Errorf("%s has no %s", data, want)
		}
	}
}

// What an agent has said of a project that it was about to begin does not
// count once it has begun: its status file is written once a second.
// No event tells an agent that an ancestor was renamed, but a look does.
func TestReportOfAProjectThatHasJustGone(t *testing.T) {
	p, state := filepath.Join(dir(t), "gone"), dir(t)
	reg, err := register(state)
	must(t, err)
	defer reg.close()
	said := ProjectState{Path: p, State: StateServing}
	must(t, reg.write(Info{Holder: Holder{PID: 1}, Cap: 7, Projects: []ProjectState{said}}))
	ps := report(t, ReportConfig{StateDir: state}).Projects[0]
	if ps.State != StateMissing || !ps.Uncounted || !strings.Contains(ps.Error, "does not exist") || !strings.Contains(ps.Advice, "agent remove") {
		t.Errorf("%+v", ps)
	}
}

func TestReportOfAProjectThatHasJustBegun(t *testing.T) {
	p, state := dir(t), dir(t)
	sp := open(t, p)
	reg, err := register(state)
	must(t, err)
	defer reg.close()
	said := ProjectState{Path: p, State: StateStopped, Error: "not begun yet"}
	must(t, reg.write(Info{Holder: Holder{PID: 1}, Cap: 7, Projects: []ProjectState{said}}))
	s := report(t, ReportConfig{StateDir: state})
	if ps := s.Projects[0]; !s.Running || ps.State != StateStopped || ps.Error != said.Error || ps.Cap != 7 || ps.NeedsAttention() {
		t.Errorf("it has not begun, but: %+v", s)
	}
	lock, err := lockProject(context.Background(), sp, Holder{PID: 1})
	must(t, err)
	defer lock.release()
	if ps := report(t, ReportConfig{StateDir: state}).Projects[0]; ps.State != StateServing || ps.Error != "" || ps.Cap != 7 {
		t.Errorf("it has begun, but: %+v", ps)
	}
}
