package queue

import (
	"time"

	"spoolagent/spoolfiles"
)

// FileName is the queue's name in the spool.
const FileName = "distill-pending.queue"

// Grace is how long a drop that does not parse is left for its producer to
// finish, counted from its modification.
const Grace = 2 * time.Second

// Options say how a queue is kept.
type Options struct {
	Cap        int           // the most signals the queue keeps; 0: no cap
	MaxDrop    int64         // bytes; a larger drop is rejected unread
	MaxPayload int           // bytes; a longer payload is shortened
	ReplyTTL   time.Duration // how long a reply waits to be acknowledged
	Fsync      bool          // whether folded and answered signals survive a power cut

	// Plain: nothing is copied by way of a mapping. Where a file system ceases
	// to answer, an access to a mapping would stop the whole process. Recovery
	// goes by content then.
	Plain bool
}

// DefaultOptions are the numbers of the protocol.
func DefaultOptions() Options {
	return Options{Cap: 100, MaxDrop: spoolfiles.MaxDrop, MaxPayload: 4096, ReplyTTL: 10 * time.Minute, Fsync: true}
}

// Queue is the queue of one open spool. Its methods must be called by one
// goroutine at a time; any number of Queues, in this process and others, may
// share a spool.
type Queue struct {
	sp    *spoolfiles.Spool
	opt   Options
	shape *Shape
	plain bool // this file system cannot copy exactly (see exactly.go)

	// step, if a test has set it, is called before each step of a transaction
	// with the number of bytes that the step copies. It returns how many to
	// copy, or panics in place of a crash.
	step func(what string, n int64) int64
}

// New returns the queue of an open spool. It opens nothing and needs no
// closing; the spool stays the caller's. shape may be nil; a caller that opens
// the spool again and again passes the same one, so that a queue that nobody
// else has changed is not read anew.
func New(sp *spoolfiles.Spool, opt Options, shape *Shape) *Queue {
	if shape == nil {
		shape = new(Shape)
	}
	return &Queue{sp: sp, opt: opt, shape: shape, plain: opt.Plain}
}

// Fsync reports whether what is taken is on the disk before it leaves the queue.
func (q *Queue) Fsync() bool { return q.opt.Fsync }

func (q *Queue) next(what string, n int64) int64 {
	if q.step != nil {
		n = q.step(what, n)
	}
	return n
}

// Reject names something that could not be folded, and why. Both are as hostile
// as whoever chose the name and the content.
type Reject struct{ Name, Reason string }

// Ledger is the running account of a project since its creation. Whenever no
// transaction is under way
//
//	Folded + Returned + External = Queued + Drained + Evicted
//
// where Queued is what the queue has. Rejected stands beside the equation.
type Ledger struct {
	Folded   int64 `json:"folded"`   // signals that came in as drops
	Returned int64 `json:"returned"` // signals of replies that nobody acknowledged
	External int64 `json:"external"` // what other programs added, less what they took
	Drained  int64 `json:"drained"`  // signals handed out in replies
	Evicted  int64 `json:"evicted"`  // signals that the cap pushed out
	Rejected int64 `json:"rejected"` // drops and lines that were no signals

	EvictedBefore int64 `json:"evicted_before"` // those of Evicted that precede the last drain

	// Queued is what the queue had when the ledger was written. A difference
	// to what it has now is the work of other programs.
	Queued int64 `json:"queued"`

	LastFoldAt  time.Time `json:"last_fold_at,omitzero"` // to the second, as the next
	LastDrainAt time.Time `json:"last_drain_at,omitzero"`
}

// EvictedSince is how many signals the cap has pushed out since the last drain.
func (l Ledger) EvictedSince() int64 { return l.Evicted - l.EvictedBefore }

// balance takes note of what the queue has. The equation then says what other
// programs have done.
func (l *Ledger) balance(queued int64) {
	l.Queued = queued
	l.External = l.Queued + l.Drained + l.Evicted - l.Folded - l.Returned
}

// valid reports whether the totals can be true. It keeps a hostile record from
// overflowing sums.
func (l Ledger) valid() bool {
	const absurd = 1 << 60
	for _, n := range []int64{l.Folded, l.Returned, l.Drained, l.Evicted, l.Rejected, l.Queued, l.EvictedBefore, l.EvictedSince()} {
		if n < 0 || n > absurd {
			return false
		}
	}
	return l.External > -absurd && l.External < absurd &&
		l.Folded+l.Returned+l.External == l.Queued+l.Drained+l.Evicted
}
