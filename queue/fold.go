package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// FoldResult says what a fold did.
type FoldResult struct {
	Folded   int // signals that came in, evicted ones included
	Evicted  int // signals that the cap pushed out
	Rejected int // drops, and lines of the queue, that were no signals

	// Rejects names the rejected drops, at most spoolfiles.MaxRejects of them.
	Rejects []Reject
	// Failed are drops that could not be read, and stay where they are.
	Failed []Reject
	// Recovered: a transaction that a crash had interrupted was found first.
	Recovered bool
	// NextLook is when the next drop that does not parse ceases to be fresh;
	// zero if there is none.
	NextLook time.Time
}

func (r *FoldResult) lookAgain(at time.Time) {
	if r.NextLook.IsZero() || at.Before(r.NextLook) {
		r.NextLook = at
	}
}

func (r *FoldResult) reject(name, reason string) {
	r.Rejected++
	if len(r.Rejects) < spoolfiles.MaxRejects {
		r.Rejects = append(r.Rejects, Reject{name, reason})
	}
}

// rejectLines notes the malformed lines of the queue.
func (r *FoldResult) rejectLines(c content) {
	for _, b := range c.bad {
		r.reject(fmt.Sprintf("line %d of %s", b.number, FileName), oneLine(b.reason))
	}
	r.Rejected += int(c.nbad) - len(c.bad)
}

// Fold moves every drop that is in incoming into the queue, evicts what the
// cap pushes out, and sets aside what is no signal. It waits for the queue's
// lock until ctx ends. What it has done before an error stays done and is in
// the result.
func (q *Queue) Fold(ctx context.Context) (res FoldResult, err error) {
	if !q.pending() {
		// The common second look of the agent: nothing there, so no lock.
		any, err := q.anyDrop()
		if err != nil || !any {
			return res, err
		}
	}
	h, recovered, err := q.acquire(ctx)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	res.Recovered = recovered
	err = q.fold(ctx, h, &res)
	return res, err
}

var errFound = errors.New("found")

func (q *Queue) anyDrop() (bool, error) {
	err := q.sp.Incoming.Each(func(name []byte, _ uint64) error {
		if spoolfiles.IsDropName(string(name)) {
			return errFound
		}
		return nil
	})
	if err == errFound {
		return true, nil
	}
	return false, err
}

// A transaction takes at most this much, so that its record stays small. What
// is evicted unread has no lines, only names.
const (
	batchDrops   = 4096
	batchBytes   = 4 << 20
	batchEvicted = 16384
)

// fold is Fold under the lock.
func (q *Queue) fold(ctx context.Context, h *held, res *FoldResult) error {
	// A drop that is in the queue must be removable from incoming, and
	// whatever happens must get into the ledger.
	for _, d := range []*spoolfiles.Dir{q.sp.Incoming, q.sp.Root, q.sp.Tmp, q.sp.Rejected} {
		if err := d.Writable(); err != nil {
			return fmt.Errorf("cannot fold: %w", err)
		}
	}
	drops, old, rest, err := q.choose(ctx)
	if err != nil {
		return fmt.Errorf("listing drops: %w", err)
	}
	if err := q.evict(ctx, h, old, rest, res); err != nil {
		return fmt.Errorf("evicting drops: %w", err)
	}
	for len(drops) > 0 {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, err := q.foldBatch(h, drops, res)
		if err != nil {
			return err
		}
		drops = drops[n:]
	}
	if res.Rejected > 0 {
		q.prune(res)
	}
	return nil
}

// prune removes old rejects. That it cannot is worth a word, but fails nothing:
// what had to be done has been done.
func (q *Queue) prune(res *FoldResult) {
	if err := q.sp.PruneRejects(); err != nil {
		res.Failed = append(res.Failed, Reject{"rejected", "removing old rejects: " + oneLine(err.Error())})
	}
}

// choose lists the drops that are to be folded, oldest first, and those that a
// full queue would evict anyhow: they are not even read. Only the newest can
// tell which these are, so they are looked through from the newest backwards
// until there are as many signals as the queue keeps.
func (q *Queue) choose(ctx context.Context) (drops, old []spoolfiles.Entry, rest *spoolfiles.Rest, err error) {
	window := 0
	if q.opt.Cap > 0 {
		window = q.opt.Cap + batchDrops
	}
	for {
		drops, rest, err = q.sp.Scan(window)
		if err != nil || q.opt.Cap == 0 || len(drops)+rest.Len() <= q.opt.Cap {
			return drops, nil, rest, err
		}
		good := 0
		for i := len(drops) - 1; i >= 0; i-- {
			if err := ctx.Err(); err != nil {
				return nil, nil, nil, context.Cause(ctx)
			}
			if _, _, err := q.read(drops[i]); err != nil {
				continue
			}
			if good++; good == q.opt.Cap {
				return drops[i:], drops[:i], rest, nil
			}
		}
		if rest.Len() == 0 {
			return drops, nil, rest, nil
		}
		window *= 4
	}
}

func (q *Queue) read(e spoolfiles.Entry) (signal.Signal, spoolfiles.Identity, error) {
	data, info, err := spoolfiles.ReadDrop(q.sp.Incoming, e, q.opt.MaxDrop, q.buf)
	if err != nil {
		return signal.Signal{}, info.Identity, err
	}
	q.buf = data[:0]
	s, err := signal.DecodeDrop(data, signal.Origin{
		Project:    q.sp.Project,
		Source:     spoolfiles.DropSource(e.Name),
		ModTime:    time.Unix(0, info.MTime),
		MaxPayload: q.opt.MaxPayload,
	})
	if err != nil {
		err = &spoolfiles.UnfitError{Reason: err.Error(), MayHeal: true}
	}
	return s, info.Identity, err
}

// evict removes drops unread. They count as folded and evicted.
func (q *Queue) evict(ctx context.Context, h *held, old []spoolfiles.Entry, rest *spoolfiles.Rest, res *FoldResult) error {
	var moves []move
	flush := func() error {
		if len(moves) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		ledger, err := q.loadLedger()
		if err != nil {
			return err
		}
		n := len(moves)
		ledger.Folded += int64(n)
		ledger.Evicted += int64(n)
		ledger.LastFoldAt = time.Now()
		if err := q.commit(h, change{size: h.info.Size, moves: moves, ledger: ledger, brief: true}); err != nil {
			return err
		}
		res.Folded += n
		res.Evicted += n
		moves = moves[:0]
		return nil
	}
	for _, e := range old {
		moves = append(moves, move{op: opRemove, dir: "incoming", name: e.Name, id: e.Identity})
	}
	if rest.Len() > 0 {
		err := q.sp.Incoming.Each(func(name []byte, ino uint64) error {
			if !rest.Has(name, ino) {
				return nil
			}
			moves = append(moves, move{op: opRemove, dir: "incoming", name: string(name),
				id: spoolfiles.Identity{Ino: ino, Size: -1}, unlooked: true})
			if len(moves) < batchEvicted {
				return nil
			}
			return flush()
		})
		if err != nil {
			return err
		}
	}
	return flush()
}

// foldBatch folds the first of the drops, and returns how many it took.
func (q *Queue) foldBatch(h *held, drops []spoolfiles.Entry, res *FoldResult) (n int, err error) {
	var (
		lines   []byte
		folded  int64
		moves   = make([]move, 0, min(len(drops), batchDrops))
		rejects []spoolfiles.Entry // the identity is that of the file that was read
		reasons []string
	)
	now := time.Now()
	for n < len(drops) && n < batchDrops && len(lines) < batchBytes {
		e := drops[n]
		n++
		if q.stuck[e.Identity] {
			continue
		}
		s, id, err := q.read(e)
		var unfit *spoolfiles.UnfitError
		switch {
		case err == nil:
			lines = append(s.AppendLine(lines), '\n')
			folded++
			moves = append(moves, move{op: opRemove, dir: "incoming", name: e.Name, id: id})
		case errors.Is(err, fs.ErrNotExist):
		case !errors.As(err, &unfit):
			if len(res.Failed) < spoolfiles.MaxRejects {
				res.Failed = append(res.Failed, Reject{e.Name, err.Error()})
			}
		case unfit.MayHeal && fresh(id.MTime, now):
			res.lookAgain(time.Unix(0, id.MTime).Add(Grace))
		default:
			e.Identity = id
			rejects, reasons = append(rejects, e), append(reasons, oneLine(unfit.Reason))
		}
	}
	moves = append(moves, q.rejectMoves(rejects, reasons)...)
	if len(moves) == 0 {
		return n, nil
	}
	err = q.add(h, addition{lines: lines, signals: folded, moves: moves, account: func(l *Ledger) {
		l.Folded += folded
		l.Rejected += int64(len(rejects))
		if folded > 0 {
			l.LastFoldAt = now
		}
	}}, res)
	if err == nil {
		res.Folded += int(folded)
		for i, e := range rejects {
			res.reject(e.Name, reasons[i])
		}
	}
	return n, err
}

// rejectMoves are the moves that reject drops. Only the newest rejects are
// kept, so of a flood the older ones need not go through rejected.
func (q *Queue) rejectMoves(rejects []spoolfiles.Entry, reasons []string) (moves []move) {
	taken := map[string]bool{}
	for i, e := range rejects {
		if i < len(rejects)-spoolfiles.MaxRejects && !e.Mode.IsDir() {
			moves = append(moves, move{op: opRemove, dir: "incoming", name: e.Name, id: e.Identity})
			continue
		}
		name := q.sp.RejectName(e.Name)
		for taken[name] {
			name = q.sp.RejectName(e.Name + "-" + spoolfiles.NewID())
		}
		taken[name] = true
		moves = append(moves,
			move{op: opReason, name: name, text: reasons[i]},
			move{op: opMove, dir: "incoming", name: e.Name, id: e.Identity, toDir: "rejected", toName: name})
	}
	return moves
}

// fresh reports whether what was modified then may still be being written. A
// time in the future is a clock's mistake, or a lie.
func fresh(mtime int64, now time.Time) bool {
	age := now.Sub(time.Unix(0, mtime))
	return age < Grace && age > -Grace
}

// addition is what add adds to the queue.
type addition struct {
	lines   []byte // canonical
	signals int64
	ahead   bool // before what is there, not behind it
	moves   []move
	account func(*Ledger)
}

// add is the transaction that adds signals to the queue, evicts what the cap
// pushes out, and sets aside the queue's malformed lines.
func (q *Queue) add(h *held, a addition, res *FoldResult) error {
	ledger, err := q.loadLedger()
	if err != nil {
		return err
	}
	c, err := q.look(h)
	if err != nil {
		return err
	}
	ledger.settle(c.count)

	evicted := int64(0)
	if q.opt.Cap > 0 {
		evicted = max(0, c.count+a.signals-int64(q.opt.Cap))
	}
	var ch change
	var after content
	switch {
	case a.signals == 0 && evicted == 0 && len(c.bad) == 0:
		ch = change{size: h.info.Size}
		after = c
	case !a.ahead && evicted == 0 && len(c.bad) == 0:
		after = content{count: c.count + a.signals}
		lines, at := a.lines, h.info.Size
		if c.torn {
			lines = append([]byte{'\n'}, lines...)
		} else if (c.starts != nil || c.count == 0 && at == 0) && after.count <= maxStarts {
			after.starts = append(c.starts, startsOf(lines, at)...)
		}
		ch = appendLines(at, lines)
	default:
		older, oldLines, newLines := c.count, []byte(nil), a.lines
		if a.ahead {
			gone := min(evicted, a.signals)
			newLines = skipLines(newLines, gone)
			older -= evicted - gone
		} else {
			gone := min(evicted, c.count)
			older -= gone
			newLines = skipLines(newLines, evicted-gone)
		}
		if oldLines, err = q.lastLines(h, c, older); err != nil {
			return err
		}
		if a.ahead {
			ch = replaceLines(h.info.Size, append(newLines[:len(newLines):len(newLines)], oldLines...))
		} else {
			ch = replaceLines(h.info.Size, append(oldLines, newLines...))
		}
		after = content{count: c.count + a.signals - evicted}
		if after.count <= maxStarts {
			after.starts = startsOf(ch.body, 0)
		}
		aside, err := q.setAsideLines(h.f, FileName, c.bad)
		if err != nil {
			return err
		}
		a.moves = append(aside, a.moves...)
		res.rejectLines(c)
		ledger.Rejected += c.nbad
	}
	ch.moves = a.moves
	a.account(&ledger)
	ledger.Evicted += evicted
	ledger.Queued = after.count
	ch.ledger = ledger
	if err := q.commit(h, ch); err != nil {
		q.shape = shape{}
		return err
	}
	res.Evicted += int(evicted)
	return q.remember(h, after)
}
