package status

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"spoolagent/agent"
	"spoolagent/internal/agenttest"
)

// Agents that come and go while others ask: whoever lives is seen, and nobody's
// files are taken for leftovers.
func TestRunningWhileAgentsComeAndGo(t *testing.T) {
	state := agenttest.Dir(t)
	asking, cancel := context.WithCancel(t.Context())
	var askers sync.WaitGroup
	for range 2 {
		askers.Go(func() {
			for asking.Err() == nil {
				if _, err := Running(state); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer askers.Wait()
	defer cancel()
	for i := range 20 {
		version := fmt.Sprint(i)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- agent.Run(ctx, agent.Config{StateDir: state, Version: version, Log: zerolog.Nop()}) }()
		agenttest.Until(t, "it is seen", func() bool {
			infos, err := Running(state)
			agenttest.Must(t, err)
			return len(infos) == 1 && infos[0].Version == version
		})
		stop()
		agenttest.Must(t, <-ended)
		if infos, err := Running(state); len(infos) > 0 || err != nil {
			t.Fatalf("agent %d has ended, but: %+v, %v", i, infos, err)
		}
	}
}

func TestRunningPutsThatOfAllProjectsFirst(t *testing.T) {
	state := agenttest.Dir(t)
	now := time.Now()
	for _, info := range []agent.Info{
		{Holder: agent.Holder{PID: 3, StartedAt: now}},
		{Holder: agent.Holder{PID: 2, StartedAt: now.Add(-time.Hour)}},
		{Holder: agent.Holder{PID: 1, StartedAt: now}, User: true},
	} {
		pretendAgent(t, state, info)
	}
	infos, err := Running(state)
	agenttest.Must(t, err)
	for i, info := range infos {
		if info.PID != i+1 {
			t.Errorf("%d. is %d", i, info.PID)
		}
	}
}
