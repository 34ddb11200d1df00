package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

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
		s, err := newStatusFile(Config{StateDir: state}, Info{Holder: Holder{PID: 1, Version: fmt.Sprint(i)}})
		must(t, err)
		infos, err := Running(state)
		must(t, err)
		if len(infos) != 1 || infos[0].Version != fmt.Sprint(i) {
			t.Fatalf("agent %d lives, but: %+v", i, infos)
		}
		must(t, s.close())
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
		s, err := newStatusFile(Config{StateDir: state}, info)
		must(t, err)
		defer s.close()
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
}
