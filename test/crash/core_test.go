//go:build linux && tools

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// All that these tests know of the inside of the queue is in this file: how to
// call it, and where signals are that are in neither of the places of PROTOCOL.md.

// waiting are the directories of the spool in which something waits to be done
// by whoever serves it.
var waiting = []string{"incoming", "work", "control"}

// isReply reports whether a file of control has signals that were handed out.
func isReply(name string) bool {
	return strings.HasSuffix(name, spoolfiles.ReplySuffix) || strings.HasSuffix(name, spoolfiles.ReturningSuffix)
}

// hidden are the signals that are on their way from one place to another, as
// lines: those of the newest record, unless its transaction is done.
func (w *world) hidden() (lines string) {
	seq := int64(0)
	for n := range 2 {
		data, err := os.ReadFile(w.path(fmt.Sprintf("queue.record-%d", n)))
		if err != nil || len(data) < 20 || string(data[:4]) == "void" {
			continue
		}
		header, rest, _ := strings.Cut(string(data), "\n")
		var r struct {
			Seq, Old, Body int64
		}
		if json.Unmarshal([]byte(header[17:]), &r) != nil || r.Seq < seq {
			continue
		}
		if seq, lines = r.Seq, ""; header[:4] == "pend" && int64(len(rest)) >= r.Old+r.Body {
			lines = rest[r.Old : r.Old+r.Body]
		}
	}
	return lines
}

// idle reports whether nothing is left to be done, but for a reply to be
// acknowledged if there was a request: the directories are empty, and whoever
// emptied them has let go of the queue.
func (w *world) idle(asked bool) bool {
	for _, dir := range waiting {
		entries, err := os.ReadDir(w.path(dir))
		if err != nil {
			return false
		}
		for _, e := range entries {
			if !asked || e.Name() != request+".signals" {
				return false
			}
		}
	}
	for n := range 2 {
		data, err := os.ReadFile(w.path(fmt.Sprintf("queue.record-%d", n)))
		if err == nil && len(data) > 4 && string(data[:4]) == "pend" {
			return false
		}
	}
	return true
}

// The operations of the helper process.
const (
	opEnv      = "SPOOL_CRASH_OPERATION"
	projectEnv = "SPOOL_CRASH_PROJECT"
	capEnv     = "SPOOL_CRASH_CAP"

	foldOp   = "fold"   // what an agent does that finds drops
	sweepOp  = "sweep"  // ... and then sweeps
	answerOp = "answer" // ... or finds a request
)

func TestMain(m *testing.M) {
	if op := os.Getenv(opEnv); op != "" {
		if err := help(op); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The helper does all in one thread, so that its calls can be counted.
func init() {
	if os.Getenv(opEnv) != "" {
		runtime.LockOSThread()
	}
}

// help is the helper process: it does to the queue what the agent does.
func help(op string) error {
	cap, err := strconv.Atoi(os.Getenv(capEnv))
	if err != nil {
		return err
	}
	return operate(os.Getenv(projectEnv), cap, op)
}

func operate(project string, cap int, op string) error {
	return with(project, cap, true, func(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue) error {
		if op == answerOp {
			c, err := sp.ScanControl()
			if err != nil {
				return err
			}
			for _, r := range c.Requests {
				_, res, err := q.Answer(ctx, r.ID)
				if err = errors.Join(err, res.Failed); err != nil {
					return err
				}
			}
			if len(c.Requests) > 0 {
				return nil
			}
		}
		res, err := q.Fold(ctx)
		if err = errors.Join(err, res.Failed); err != nil {
			return err
		}
		if op == sweepOp {
			_, err := q.Sweep(ctx, time.Now())
			return err
		}
		return nil
	})
}

// with opens the queue, as a process of its own would.
func with(project string, cap int, fsync bool, f func(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue) error) error {
	sp, err := spoolfiles.Create(project)
	if err != nil {
		return err
	}
	defer sp.Close()
	o := queue.DefaultOptions()
	o.Cap, o.Fsync = cap, fsync
	return f(context.Background(), sp, queue.New(sp, o, nil))
}

// create makes the spool.
func (w *world) create() {
	w.t.Helper()
	w.must(with(w.dir, w.cap, false, func(context.Context, *spoolfiles.Spool, *queue.Queue) error { return nil }))
}

// fold folds what was dropped, undisturbed.
func (w *world) fold(ids ...int) {
	w.t.Helper()
	w.create()
	w.drop(ids...)
	w.must(with(w.dir, w.cap, false, func(ctx context.Context, _ *spoolfiles.Spool, q *queue.Queue) error {
		_, err := q.Fold(ctx)
		return err
	}))
}

// reply leaves a reply that was never claimed.
func (w *world) reply(ids ...int) {
	w.t.Helper()
	w.fold(ids...)
	w.must(with(w.dir, w.cap, false, func(ctx context.Context, _ *spoolfiles.Spool, q *queue.Queue) error {
		_, err := q.Take(ctx, spoolfiles.NewID())
		return err
	}))
	if n := w.age(); n != len(ids) {
		w.fatalf("%d signals in the reply, not %d", n, len(ids))
	}
	w.returned += len(ids)
}

// count returns the ledger, and what waits or is kept.
func (w *world) count() (l queue.Ledger, drops, replies, rejects int) {
	w.t.Helper()
	w.must(with(w.dir, w.cap, true, func(ctx context.Context, sp *spoolfiles.Spool, q *queue.Queue) (err error) {
		errs := [4]error{}
		l, errs[0] = q.Count(ctx)
		drops, errs[1] = sp.CountDrops()
		rejects, errs[2] = sp.CountRejects()
		control, err := sp.ScanControl()
		replies = len(control.Replies) + len(control.Returning)
		errs[3] = err
		return errors.Join(errs[:]...)
	}))
	return l, drops, replies, rejects
}
