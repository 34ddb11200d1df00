package queue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// ErrWithdrawn says that a request has gone before it was answered.
var ErrWithdrawn = errors.New("the request has been withdrawn")

// Answer folds what is in incoming and then answers the request control/ID.drain:
// all signals of the queue move to control/ID.signals. It returns how many
// these are. The error is ErrWithdrawn if the request is no longer there.
//
// Everything that was renamed into incoming before the request was made is in
// the answer, for incoming is listed after the request has been seen.
func (q *Queue) Answer(ctx context.Context, id string) (signals int, res FoldResult, err error) {
	if !spoolfiles.ValidID(id) {
		return 0, res, fmt.Errorf("answering a request: %q is no valid id", id)
	}
	signals, err = q.drain(ctx, id, true, &res)
	return signals, res, err
}

// Take is for a consumer where no agent runs: it sweeps, folds and drains
// into control/ID.signals, which is then to be read and removed, or to be given
// back. The id must be valid and unique.
func (q *Queue) Take(ctx context.Context, id string) error {
	if !spoolfiles.ValidID(id) {
		return fmt.Errorf("draining: %q is no valid id", id)
	}
	if _, err := q.Sweep(ctx, time.Now()); err != nil {
		return err
	}
	var res FoldResult
	_, err := q.drain(ctx, id, false, &res)
	return err
}

func (q *Queue) drain(ctx context.Context, id string, requested bool, res *FoldResult) (n int, err error) {
	h, recovered, err := q.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	res.Recovered = recovered
	if err := q.fold(ctx, h, res); err != nil {
		return 0, err
	}
	reply, request := id+spoolfiles.ReplySuffix, id+spoolfiles.RequestSuffix
	moves := []move{{op: opMove, dir: "tmp", name: "reply-" + spoolfiles.NewID(), toDir: "control", toName: reply}}
	if requested {
		info, err := q.sp.Control.Lstat(request)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, ErrWithdrawn
		}
		if err != nil {
			return 0, err
		}
		moves = append(moves, move{op: opRemove, dir: "control", name: request, id: info.Identity})
	}
	for _, name := range []string{reply, id + spoolfiles.ReturningSuffix} {
		if _, err := q.sp.Control.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("there is an unclaimed reply with the id %s already; ask again with a new id", id)
		}
	}
	if err := q.sp.Control.Writable(); err != nil {
		return 0, fmt.Errorf("cannot drain: %w", err)
	}

	c, err := q.writeReply(h, &moves[0])
	if err == nil {
		err = q.handOver(h, c, moves, res)
	}
	if err != nil {
		if !q.pending() {
			q.sp.Tmp.Remove(moves[0].name)
		}
		return 0, err
	}
	return int(c.count), nil
}

// writeReply writes the queue's signals to the file that is to become the
// reply, and notes its identity in publish.
func (q *Queue) writeReply(h *held, publish *move) (content, error) {
	f, err := q.sp.Tmp.Create(publish.name)
	if err != nil {
		return content{}, fmt.Errorf("writing reply: %w", err)
	}
	w := bufio.NewWriterSize(f, 64<<10)
	var buf []byte
	c, err := scanLines(h.f, h.info.Size, func(s signal.Signal, _ []byte) error {
		buf = append(s.AppendLine(buf[:0]), '\n')
		_, err := w.Write(buf)
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	if err == nil && q.opt.Fsync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return content{}, fmt.Errorf("writing reply: %w", err)
	}
	info, err := q.sp.Tmp.Lstat(publish.name)
	publish.id = info.Identity
	return c, err
}

// handOver is the transaction of a drain: the queue is emptied, the reply
// published, and the request removed.
func (q *Queue) handOver(h *held, c content, moves []move, res *FoldResult) error {
	ledger, err := q.loadLedger()
	if err != nil {
		return err
	}
	ledger.settle(c.count)
	ledger.Drained += c.count
	ledger.Queued = 0
	if len(c.bad) > 0 {
		aside, err := q.setAsideLines(h.f, FileName, c.bad)
		if err != nil {
			return err
		}
		moves = append(aside, moves...)
		res.rejectLines(c)
		ledger.Rejected += c.nbad
	}
	ch := replaceLines(h.info.Size, nil)
	ch.moves, ch.ledger = moves, ledger
	if err := q.commit(h, ch); err != nil {
		q.shape = shape{}
		return err
	}
	if len(c.bad) > 0 {
		q.prune(res)
	}
	// It is done: that the queue cannot be looked at now must not look as if
	// it were not.
	if err := q.remember(h, content{}); err != nil {
		q.shape = shape{}
	}
	return nil
}

// Refuse answers a request with control/ID.error, which has the reason as its
// one line, and removes the request.
func (q *Queue) Refuse(id, reason string) error {
	err := q.sp.Control.WriteFile(id+spoolfiles.ErrorSuffix, []byte(oneLine(reason)+"\n"), q.sp.Tmp, false)
	if err == nil {
		err = q.sp.Control.Remove(id + spoolfiles.RequestSuffix)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("refusing request %s: %w", id, err)
	}
	return nil
}

// Settle takes the lock and leaves it: whoever was in the middle of a
// transaction is through then, and one that a crash had left is finished.
func (q *Queue) Settle(ctx context.Context) error {
	h, _, err := q.acquire(ctx)
	if err != nil {
		return err
	}
	return h.release()
}
