package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"spoolagent/spoolfiles"
)

// Ledger is the running account of a project since its creation. At every
// quiet moment
//
//	Folded + Returned + External = Queued + Drained + Evicted
//
// where Queued is what the queue has. Rejected stands beside the equation.
type Ledger struct {
	Folded   int64 `json:"folded"`   // signals that came in as drops
	Returned int64 `json:"returned"` // signals of replies that nobody claimed
	External int64 `json:"external"` // what other programs added, less what they took
	Drained  int64 `json:"drained"`  // signals handed out in replies
	Evicted  int64 `json:"evicted"`  // signals that the cap pushed out
	Rejected int64 `json:"rejected"` // drops and lines that were no signals

	// Queued is what the queue had when the ledger was written. A difference
	// to what it has now is the work of other programs.
	Queued int64 `json:"queued"`

	// Seq counts the transactions; it says whether one that is found in
	// queue.redo is in the ledger yet.
	Seq uint64 `json:"seq"`

	LastFoldAt time.Time `json:"last_fold_at,omitzero"`
}

// settle books the difference between what the queue has and what it should
// have as external.
func (l *Ledger) settle(queued int64) {
	l.External += queued - l.Queued
	l.Queued = queued
}

const (
	ledgerName    = "ledger.json"
	maxLedgerSize = 64 << 10
)

// errBadLedger: the file is there but says nothing that can be used.
var errBadLedger = errors.New("not a ledger")

func (q *Queue) readLedger() (Ledger, error) {
	data, _, err := q.sp.Root.ReadFile(ledgerName, maxLedgerSize)
	if errors.Is(err, fs.ErrNotExist) {
		return Ledger{}, nil
	}
	var unfit *spoolfiles.UnfitError
	var owner *spoolfiles.OwnerError
	if errors.As(err, &unfit) || errors.As(err, &owner) || err != nil && q.irregular(ledgerName) {
		return Ledger{}, fmt.Errorf("%w: %w", errBadLedger, err)
	}
	if err != nil {
		return Ledger{}, fmt.Errorf("reading ledger: %w", err)
	}
	return parseLedger(data)
}

func parseLedger(data []byte) (Ledger, error) {
	var l Ledger
	if err := json.Unmarshal(data, &l); err != nil {
		return Ledger{}, fmt.Errorf("%w: %w", errBadLedger, err)
	}
	const absurd = 1 << 60 // keeps sums from overflowing
	for _, n := range []int64{l.Folded, l.Returned, l.Drained, l.Evicted, l.Rejected, l.Queued} {
		if n < 0 || n > absurd {
			return Ledger{}, fmt.Errorf("%w: a total of %d", errBadLedger, n)
		}
	}
	if l.External < -absurd || l.External > absurd || l.Seq > absurd {
		return Ledger{}, fmt.Errorf("%w: a total of %d", errBadLedger, l.External)
	}
	if l.Folded+l.Returned+l.External != l.Queued+l.Drained+l.Evicted {
		return Ledger{}, fmt.Errorf("%w: it does not close", errBadLedger)
	}
	return l, nil
}

// loadLedger is readLedger for one who is about to change it: a ledger that
// cannot be read is set aside, and the account begins anew.
func (q *Queue) loadLedger() (Ledger, error) {
	l, err := q.readLedger()
	if !errors.Is(err, errBadLedger) {
		return l, err
	}
	return Ledger{Rejected: 1}, q.setAside(ledgerName, err.Error())
}

// irregular reports whether there is something of that name that we can never
// have left: a link, a FIFO.
func (q *Queue) irregular(name string) bool {
	info, err := q.sp.Root.Lstat(name)
	return err == nil && !info.Mode.IsRegular()
}

// setAside moves one of the queue's own files to rejected.
func (q *Queue) setAside(name, reason string) error {
	target := q.sp.RejectName(name)
	if err := q.sp.Rejected.WriteFile(target+spoolfiles.ReasonSuffix, []byte(oneLine(reason)+"\n"), q.sp.Tmp, false); err != nil {
		return fmt.Errorf("setting aside %s: %w", name, err)
	}
	if err := q.sp.Root.Rename(name, q.sp.Rejected, target); err != nil {
		return fmt.Errorf("setting aside %s: %w", name, err)
	}
	return nil
}

func (q *Queue) writeLedger(l Ledger) error {
	data, err := json.Marshal(l)
	if err == nil {
		err = q.sp.Root.WriteFile(ledgerName, append(data, '\n'), q.sp.Tmp, false)
	}
	if err != nil {
		return fmt.Errorf("writing ledger: %w", err)
	}
	return nil
}
