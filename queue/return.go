package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"spoolagent/spoolfiles"
)

// Sweep returns the replies that nobody has acknowledged for Options.ReplyTTL,
// removes error replies of that age and abandoned files in tmp, and rejects
// requests without a valid id. now is the time to measure ages by; what seems to
// come from the future is set to now.
func (q *Queue) Sweep(ctx context.Context, now time.Time) (res Result, err error) {
	c, err := q.sp.ScanControl()
	errs := []error{err}
	for _, r := range c.Returning {
		// Someone was about to return it, and perhaps still is; the lock sorts
		// that out.
		errs = append(errs, q.returnReply(ctx, r.ID, &res))
	}
	for _, r := range slices.Concat(c.Replies, c.Errors) {
		switch due := q.due(r, now, &errs); {
		case due.After(now):
			res.dueAt(due)
		case strings.HasSuffix(r.Name, spoolfiles.ErrorSuffix):
			errs = append(errs, gone(q.sp.Control.Remove(r.Name)))
		default:
			errs = append(errs, q.returnReply(ctx, r.ID, &res))
		}
	}
	for _, m := range c.Misfits {
		errs = append(errs, q.rejectControl(m.Name, "not of the protocol: an ID is 1 to 64 of A-Za-z0-9_-, and a reply a regular file of this user", &res))
	}
	// What tmp has may belong to a transaction that a crash has left.
	interrupted, err := q.interrupted()
	if err == nil && !interrupted {
		err = q.sp.CleanTmp(now)
	}
	return res, errors.Join(append(errs, err)...)
}

// due is when a reply has been waiting for ReplyTTL.
func (q *Queue) due(r spoolfiles.ControlFile, now time.Time, errs *[]error) time.Time {
	made := time.Unix(0, r.MTime)
	if made.After(now.Add(Grace)) {
		made = now
		*errs = append(*errs, gone(q.sp.Control.Touch(r.Name)))
	}
	return made.Add(q.opt.ReplyTTL)
}

// Return puts the reply with this id back into the queue, ahead of what is
// there, and says how many signals it had. A reply that is not there (any more)
// has none.
func (q *Queue) Return(ctx context.Context, id string) (int, error) {
	if !spoolfiles.ValidID(id) {
		return 0, fmt.Errorf("returning a reply: %q is no valid id", id)
	}
	var res Result
	err := q.returnReply(ctx, id, &res)
	return res.Returned, err
}

func (q *Queue) returnReply(ctx context.Context, id string, res *Result) error {
	return q.locked(ctx, func(h *held) error {
		// The rename decides between us and a consumer that acknowledges at
		// this moment: its removal fails, or our rename does.
		claimed := id + spoolfiles.ReturningSuffix
		there, err := exists(q.sp.Control, claimed)
		if err == nil && !there {
			err = q.sp.Control.Rename(id+spoolfiles.ReplySuffix, q.sp.Control, claimed)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
		}
		if err == nil {
			err = q.returnClaimed(h, id, claimed, res)
		}
		return err
	})
}

func (q *Queue) returnClaimed(h *held, id, claimed string, res *Result) error {
	info, err := q.sp.Control.Lstat(claimed)
	if err != nil {
		return err
	}
	if !info.Mode.IsRegular() || !info.Ours() || info.Size > maxQueueSize {
		return q.rejectControl(claimed, "not a reply", res)
	}
	reply, err := q.sp.Control.OpenFile(claimed, os.O_RDONLY)
	if errors.Is(err, fs.ErrPermission) {
		return q.rejectControl(claimed, "not readable", res)
	}
	if err != nil {
		return err
	}
	defer reply.Close()
	c, err := contentOf(reply, info.Size)
	if err == nil {
		err = q.rejectLines(h, reply, info.Size, "a reply", nil, res)
	}
	if err != nil {
		return err
	}
	h.ledger.Returned += c.count
	err = q.rewrite(h, rewriting{
		verb: returnVerb, id: id,
		lead: func(w io.Writer) error {
			return copySignals(w, io.NewSectionReader(reply, 0, info.Size), nil)
		},
	}, res)
	if err != nil {
		return err
	}
	res.Returned += int(c.count)
	return q.tidy(h, q.opt.Cap, res)
}

// rejectControl moves a file of control, in which no signals are, to rejected.
func (q *Queue) rejectControl(name, reason string, res *Result) error {
	err := q.setAside(q.sp.Control, name, reason)
	if err == nil {
		res.reject(name, reason)
	}
	return gone(err)
}
