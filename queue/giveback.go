package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// maxReply bounds what is read of a reply that goes back into the queue.
const maxReply = 256 << 20

// SweepResult says what a sweep did.
type SweepResult struct {
	Returned int      // signals of unclaimed replies that went back into the queue
	Evicted  int      // signals that the cap pushed out thereby
	Rejects  []Reject // what was no request, malformed lines of replies
	// Next is when the next reply falls due; zero if there is none.
	Next time.Time
}

// Sweep returns the replies that nobody has claimed for Options.ReplyTTL,
// removes error replies of that age and abandoned files in tmp, and rejects
// requests without a valid id. now is the time to measure ages by.
func (q *Queue) Sweep(ctx context.Context, now time.Time) (res SweepResult, err error) {
	if q.pending() {
		// What tmp has may belong to a transaction that a crash has left, from
		// long ago.
		if err := q.Settle(ctx); err != nil {
			return res, err
		}
	}
	c, err := q.sp.ScanControl()
	if err != nil {
		return res, fmt.Errorf("listing control: %w", err)
	}
	var errs []error
	for _, r := range c.Returning {
		// Someone was about to return it, and perhaps still is; the lock sorts
		// that out.
		errs = append(errs, q.giveBack(ctx, r.ID, &res))
	}
	for _, r := range c.Replies {
		due := time.Unix(0, r.MTime).Add(q.opt.ReplyTTL)
		if due.After(now) {
			if res.Next.IsZero() || due.Before(res.Next) {
				res.Next = due
			}
			continue
		}
		errs = append(errs, q.giveBack(ctx, r.ID, &res))
	}
	for _, r := range c.Errors {
		if !time.Unix(0, r.MTime).Add(q.opt.ReplyTTL).After(now) {
			if err := q.sp.Control.Remove(r.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	if len(c.Misfits) > 0 {
		errs = append(errs, q.rejectControl(ctx, c.Misfits, "not a request: that is a file whose name is 1 to 64 of A-Za-z0-9_- and .drain", &res))
	}
	errs = append(errs, q.sp.CleanTmp(now))
	return res, errors.Join(errs...)
}

// GiveBack returns the reply with this id to the queue, ahead of what is
// there, and says how many signals it had. A reply that is not there (any
// more) has none.
func (q *Queue) GiveBack(ctx context.Context, id string) (int, error) {
	if !spoolfiles.ValidID(id) {
		return 0, fmt.Errorf("giving back a reply: %q is no valid id", id)
	}
	var res SweepResult
	err := q.giveBack(ctx, id, &res)
	return res.Returned, err
}

func (q *Queue) giveBack(ctx context.Context, id string, res *SweepResult) (err error) {
	h, _, err := q.acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.release()) }()

	// The rename decides between us and a consumer that acknowledges at this
	// moment: its removal fails, or our rename does.
	claimed := id + spoolfiles.ReturningSuffix
	if _, err := q.sp.Control.Lstat(claimed); errors.Is(err, fs.ErrNotExist) {
		err := q.sp.Control.Rename(id+spoolfiles.ReplySuffix, q.sp.Control, claimed)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("giving back a reply: %w", err)
		}
	}
	data, info, err := q.sp.Control.ReadFile(claimed, maxReply)
	if err != nil {
		info, lerr := q.sp.Control.Lstat(claimed)
		if lerr == nil && !mayHeal(info, err) {
			f := spoolfiles.ControlFile{Entry: spoolfiles.Entry{Name: claimed, Info: info}}
			return q.rejectLocked(h, []spoolfiles.ControlFile{f}, "not a reply: "+err.Error(), res)
		}
		return fmt.Errorf("giving back a reply: %w", err)
	}
	var lines []byte
	c, err := scanLines(bytes.NewReader(data), int64(len(data)), func(s signal.Signal, _ []byte) error {
		lines = append(s.AppendLine(lines), '\n')
		return nil
	})
	if err != nil {
		return err
	}
	moves, err := q.setAsideLines(bytes.NewReader(data), "a reply", c.bad)
	if err != nil {
		return err
	}
	moves = append(moves, move{op: opRemove, dir: "control", name: claimed, id: info.Identity})
	var fold FoldResult
	err = q.add(h, addition{lines: lines, signals: c.count, ahead: true, moves: moves, account: func(l *Ledger) {
		l.Returned += c.count
		l.Rejected += c.nbad
	}}, &fold)
	if err != nil {
		return fmt.Errorf("giving back a reply: %w", err)
	}
	res.Returned += int(c.count)
	res.Evicted += fold.Evicted
	res.Rejects = append(res.Rejects, fold.Rejects...)
	return nil
}

// mayHeal reports whether a file that could not be read with this error may be
// read another time: there was nothing wrong with it, but with the system.
func mayHeal(info spoolfiles.Info, err error) bool {
	var unfit *spoolfiles.UnfitError
	return info.Mode.IsRegular() && info.Ours() && !errors.As(err, &unfit) && !errors.Is(err, fs.ErrPermission)
}

// rejectControl moves files of control to rejected.
func (q *Queue) rejectControl(ctx context.Context, files []spoolfiles.ControlFile, reason string, res *SweepResult) (err error) {
	h, _, err := q.acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	return q.rejectLocked(h, files, reason, res)
}

func (q *Queue) rejectLocked(h *held, files []spoolfiles.ControlFile, reason string, res *SweepResult) error {
	for _, f := range files {
		if q.stuck[f.Identity] {
			continue
		}
		name := q.sp.RejectName(f.Name)
		moves := []move{
			{op: opReason, name: name, text: oneLine(reason)},
			{op: opMove, dir: "control", name: f.Name, id: f.Identity, toDir: "rejected", toName: name},
		}
		err := q.add(h, addition{moves: moves, account: func(l *Ledger) { l.Rejected++ }}, new(FoldResult))
		if err != nil {
			return fmt.Errorf("rejecting %q: %w", f.Name, err)
		}
		res.Rejects = append(res.Rejects, Reject{f.Name, oneLine(reason)})
	}
	q.prune(new(FoldResult)) // will be tried again
	return nil
}
