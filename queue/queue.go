package queue

import (
	"time"

	"spoolagent/spoolfiles"
)

// FileName is the queue's name in the spool.
const FileName = "distill-pending.queue"

// Options say how a queue is kept.
type Options struct {
	Cap        int           // the most signals the queue keeps; 0 = no cap
	MaxDrop    int64         // bytes; a larger drop is rejected unread
	MaxPayload int           // bytes; a longer payload is shortened
	ReplyTTL   time.Duration // how long a reply waits to be claimed
	Fsync      bool          // whether a power cut, too, must lose nothing
}

// DefaultOptions are the numbers of the protocol.
func DefaultOptions() Options {
	return Options{Cap: 100, MaxDrop: 1 << 20, MaxPayload: 4096, ReplyTTL: 10 * time.Minute, Fsync: true}
}

// Grace is how long a drop that does not parse is left for its producer to
// finish, counted from its modification.
const Grace = 2 * time.Second

// Queue is the queue of one open spool. Its methods must be called by one
// goroutine at a time; any number of Queues, in this process and others, may
// share a spool.
type Queue struct {
	sp    *spoolfiles.Spool
	opt   Options
	shape shape  // what the queue looked like when we last let go of it
	buf   []byte // for reading drops

	// byHand: the file system knows no sendfile or no shared mappings, so the
	// cursors of a record are ours to move.
	byHand bool

	// step, if a test has set it, is told of each step of a transaction before
	// it is made, and of how many bytes it is to copy; it says how many it
	// shall, or panics in place of a crash.
	step func(what string, n int64) int64

	// stuck are files that were to be rejected and cannot be moved.
	stuck map[spoolfiles.Identity]bool
}

// New returns the queue of an open spool. It opens nothing and needs no
// closing; the spool stays the caller's.
func New(sp *spoolfiles.Spool, opt Options) *Queue {
	return &Queue{sp: sp, opt: opt, stuck: map[spoolfiles.Identity]bool{}}
}

func (q *Queue) next(what string, n int64) int64 {
	if q.step != nil {
		n = q.step(what, n)
	}
	return n
}

// Reject names something that could not be folded, and why. Name is as hostile
// as whoever chose it.
type Reject struct{ Name, Reason string }
