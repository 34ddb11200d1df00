package status

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spoolagent/agent"
	"spoolagent/internal/agenttest"
	"spoolagent/queue"
)

// report makes a report, without syncing anything.
func report(t *testing.T, cfg Config) Status {
	t.Helper()
	cfg.Options = options()
	s, err := Report(context.Background(), cfg)
	agenttest.Must(t, err)
	return s
}

func TestReportWithoutAnyAgent(t *testing.T) {
	p, bare, gone := agenttest.Dir(t), agenttest.Dir(t), filepath.Join(agenttest.Dir(t), "gone")
	drop(t, p, "waits")
	s := report(t, Config{StateDir: filepath.Join(agenttest.Dir(t), "none"), Projects: []string{p, bare, gone}, Version: "mine"})
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
	if ps := byPath[p]; ps.State != agent.StateStopped || ps.Incoming != 1 || ps.Error != "" || ps.Cap != 100 || ps.LastFoldAt != "" {
		t.Errorf("a project with a spool: %+v", ps)
	}
	for _, path := range []string{bare, gone} {
		if ps := byPath[path]; ps.State != agent.StateMissing || ps.Error == "" {
			t.Errorf("a project without a spool: %+v", ps)
		}
		if agenttest.Exists(inSpool(path)) {
			t.Error("the report made a spool")
		}
	}
}

func TestReportOfALivingAgent(t *testing.T) {
	p := agenttest.Dir(t)
	state := agenttest.Dir(t)
	start(t, state, p)
	drop(t, p, "a")
	queued(t, p, "a")
	request(t, p, "one")
	reply(t, p, "one")
	drop(t, p, "b")
	queued(t, p, "b")
	s := report(t, Config{StateDir: state, Projects: []string{p}})
	if !s.Running || s.PID != os.Getpid() || s.Version != "test" || len(s.Projects) != 1 {
		t.Fatalf("%+v", s)
	}
	for _, at := range []string{s.StartedAt, s.Projects[0].LastFoldAt, s.Projects[0].LastDrainAt} {
		if _, err := time.Parse(time.RFC3339, at); err != nil {
			t.Error(err)
		}
	}
	got := s.Projects[0]
	if a := got.Activity[""]; a.Hours[0]+a.Hours[1] != 2 {
		t.Errorf("activity: %v", got.Activity)
	}
	got.LastFoldAt, got.LastDrainAt, got.Activity = "", "", nil
	want := ProjectStatus{Path: p, State: agent.StateServing, Queued: 1, Replies: 1, Cap: 100, Ledger: Totals{Folded: 2, Drained: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	other := agenttest.Dir(t)
	if s := report(t, Config{StateDir: state, Projects: []string{other}}); s.Running || len(s.Projects) != 1 {
		t.Errorf("asked for another project only: %+v", s)
	}
}

func TestReportOfAKilledAgent(t *testing.T) {
	p, state := agenttest.Dir(t), agenttest.Dir(t)
	kill := help(t, "agent", state, p)
	agenttest.Until(t, "it is reported to live", func() bool {
		s := report(t, Config{StateDir: state, Projects: []string{p}})
		return s.Running && s.Version == "helper" && s.Projects[0].State == agent.StateServing
	})
	if s := report(t, Config{StateDir: agenttest.Dir(t), Projects: []string{p}}); !s.Running || s.Version != "helper" {
		t.Errorf("it lives elsewhere, but: %+v", s)
	}
	kill()
	s := report(t, Config{StateDir: state, Projects: []string{p}})
	if s.Running || len(s.Projects) != 1 || s.Projects[0].State != agent.StateStopped {
		t.Errorf("it is dead, but: %+v", s)
	}
}

func TestReportDoesNotWaitForTheLock(t *testing.T) {
	t.Parallel() // it waits long
	p := agenttest.Dir(t)
	open(t, p)
	drop(t, p, "a")
	agenttest.Must(t, os.WriteFile(inSpool(p, queue.FileName), nil, 0o600))
	unlock := help(t, "lock", inSpool(p, queue.FileName))
	s := report(t, Config{StateDir: agenttest.Dir(t), Projects: []string{p}})
	if ps := s.Projects[0]; !strings.Contains(ps.Error, "lock") || ps.Incoming != 1 {
		t.Errorf("%+v", ps)
	}
	unlock()
}

func TestReportIsTheDocumentedJSON(t *testing.T) {
	data, err := json.Marshal(Status{Projects: []ProjectStatus{{}}})
	agenttest.Must(t, err)
	want := `{"running":false,"pid":0,"version":"","started_at":"","projects":[{"path":"",` +
		`"state":"","queued":0,"incoming":0,"replies":0,"rejected":0,"cap":0,"ledger":{"folded":0,` +
		`"returned":0,"external":0,"drained":0,"evicted":0,"rejected":0},"last_fold_at":"","error":""}]}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
}

// No event tells an agent that an ancestor was renamed, but a report does.
func TestReportOfAProjectThatHasJustGone(t *testing.T) {
	p, state := filepath.Join(agenttest.Dir(t), "gone"), agenttest.Dir(t)
	pretend(t, state, agent.Holder{PID: 1})
	s := report(t, Config{StateDir: state, Projects: []string{p}})
	ps := s.Projects[0]
	if !s.Running || ps.State != agent.StateMissing || !ps.Uncounted || !strings.Contains(ps.Error, "does not exist") || !strings.Contains(ps.Advice, "agent remove") {
		t.Errorf("%+v", s)
	}
}

func TestReportSaysWhatTheHolderSays(t *testing.T) {
	p, state := agenttest.Dir(t), agenttest.Dir(t)
	sp := open(t, p)
	pretend(t, state, agent.Holder{PID: 7, Service: true, Problem: "configuration refused"})
	s := report(t, Config{StateDir: state, Projects: []string{p}})
	if ps := s.Projects[0]; !s.Running || !s.Service || s.PID != 7 || s.Problem == "" || ps.State != agent.StateStopped || ps.NeedsAttention() {
		t.Errorf("it has not begun, but: %+v", s)
	}
	said := agent.Holder{PID: 7, Cap: 9, State: agent.StatePolling, Problem: "polled", Project: "/elsewhere"}
	pretend(t, sp.Root.Path(), said)
	if ps := report(t, Config{StateDir: state, Projects: []string{p}}).Projects[0]; ps.State != said.State || ps.Error != "polled" || ps.Cap != 9 {
		t.Errorf("it polls, but: %+v", ps)
	}
}

// The file of the state directory's lock outlives an agent that was killed.
func TestReportOfAUsersAgentThatWasKilled(t *testing.T) {
	p, state := agenttest.Dir(t), agenttest.Dir(t)
	open(t, p)
	data, err := json.Marshal(agent.Holder{PID: 7, StartedAt: time.Now(), State: agent.StateServing, Project: p})
	agenttest.Must(t, err)
	agenttest.Must(t, os.WriteFile(filepath.Join(state, "agent.lock"), data, 0o600))
	agenttest.Must(t, os.WriteFile(inSpool(p, "agent.lock"), data, 0o600))
	if s := report(t, Config{StateDir: state, Projects: []string{p}}); s.Running || s.Projects[0].State != agent.StateStopped {
		t.Errorf("%+v", s)
	}
}

// An agent with few open files does not hold each lock between its scans.
func TestReportOfAnAgentWithFewOpenFiles(t *testing.T) {
	p, state := agenttest.Dir(t), agenttest.Dir(t)
	open(t, p)
	said := agent.Holder{PID: 7, StartedAt: time.Now(), State: agent.StateServing, Project: p}
	pretend(t, state, said)
	for _, c := range []struct {
		holder agent.Holder
		want   agent.State
	}{
		{said, agent.StateServing},
		{agent.Holder{PID: 7, StartedAt: said.StartedAt, State: agent.StateStopped}, agent.StateStopped},
		{agent.Holder{PID: 8, StartedAt: said.StartedAt, State: agent.StateServing}, agent.StateStopped},
	} {
		data, err := json.Marshal(c.holder)
		agenttest.Must(t, err)
		agenttest.Must(t, os.WriteFile(inSpool(p, "agent.lock"), data, 0o600))
		if ps := report(t, Config{StateDir: state, Projects: []string{p}}).Projects[0]; ps.State != c.want {
			t.Errorf("%+v: %+v", c.holder, ps)
		}
	}
}
