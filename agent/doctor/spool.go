package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"spoolagent/agent"
	"spoolagent/agent/watch"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

const (
	// prompt is how long an agent may take for what it does at once.
	prompt = time.Minute
	// future is by how much another clock may be wrong.
	future = time.Minute
	// abandoned is the age at which what a producer has not finished never will be.
	abandoned = spoolfiles.TmpTTL + 2*time.Hour // sweeps are hourly
	// looksAt is how many entries of a directory are looked at.
	looksAt = 10000
	// recheck is the pause before something that may be in the middle of
	// happening is looked at again.
	recheck = 300 * time.Millisecond
)

// examiner looks at one project.
type examiner struct {
	facts   *Facts
	restart string // how the agent is started again that serves most projects
	report  spoolReport
	served  bool // an agent serves it
	now     time.Time
}

func (e *examiner) find(name string, status Level, what, which, mend string) {
	e.report.findings = append(e.report.findings, finding{name, status, what, which, mend, e.report.project})
}

func (e *examiner) run(ctx context.Context) {
	e.now = time.Now()
	project := e.report.project
	info, err := os.Stat(project)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir():
		e.find("project.exists", Warning, "there is no such directory", "", "agent remove "+dir+", or remove it from the configuration")
		return
	case err != nil:
		e.find("project.exists", Failure, "cannot be looked at", reason(err), "ls -ld "+dir)
		return
	}
	if real, err := filepath.EvalSymlinks(project); err == nil {
		e.report.real = real
	}
	if s, err := spaceOf(project); err == nil {
		e.report.space = &s
	}
	if name := watch.Foreign(project); name != "" {
		e.find("spool.filesystem", Warning, "it is on "+name+": it is polled every second, and must be used by this machine alone", "", "move the project to a local disk")
	}
	at, err := spoolfiles.OpenDir(project)
	if err != nil {
		e.find("project.exists", Failure, "cannot be looked into", reason(err), "ls -ld "+dir)
		return
	}
	defer at.Close()
	spool, err := at.Lstat(spoolfiles.DirName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.find("project.exists", Warning, "there is no .spool in it; the next hook makes one", "", "agent add "+dir+", or agent remove "+dir)
		return
	case err != nil:
		e.find("project.exists", Failure, "cannot be looked into", reason(err), "ls -ld "+dir)
		return
	}
	if !e.soundDir(spoolfiles.DirName, spool) {
		return
	}
	root, err := at.OpenDir(spoolfiles.DirName)
	if err != nil {
		e.find("spool.permissions", Failure, "cannot be looked into", reason(err), "chmod -R u+rwX "+dir+"/.spool")
		return
	}
	defer root.Close()
	sound := e.lookAround(root)
	e.git(ctx, root)
	if !sound {
		return
	}
	sp, err := spoolfiles.OpenExisting(project)
	if err != nil {
		e.find("spool.permissions", Failure, "cannot be opened", reason(err), "ls -laR "+dir+"/.spool")
		return
	}
	defer sp.Close()
	if _, e.served, err = agent.Serving(sp); err != nil {
		e.find("spool.permissions", Failure, "whether it is served cannot be seen", reason(err), "ls -la "+dir+"/.spool")
	}
	e.incoming(ctx, sp)
	e.control(ctx, sp)
	if n, err := sp.CountRejects(); err == nil && n > 0 {
		e.find("spool.rejects", Warning, "something was rejected, the reasons are beside it", fmt.Sprint(n), "ls "+dir+"/.spool/rejected; rm -r what is of no use")
	}
	e.queue(ctx, sp)
}

// reason is an error without the paths that are told besides.
func reason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// soundDir checks a directory of the spool before it is opened.
func (e *examiner) soundDir(path string, info spoolfiles.Info) bool {
	here := dir + "/" + path
	switch {
	case info.Mode&fs.ModeSymlink != 0:
		e.find("spool.links", Failure, "a directory of the spool is a symbolic link, which is not followed", path, "rm "+here)
	case !info.Mode.IsDir():
		e.find("spool.links", Failure, "there is something else in place of a directory of the spool", path, "rm "+here)
	case !info.Ours():
		e.find("spool.owner", Failure, fmt.Sprint(&spoolfiles.OwnerError{UID: info.UID}), path, chown(dir+"/.spool"))
	case hasModes && info.Mode&0o700 != 0o700:
		e.find("spool.permissions", Failure, "its owner cannot use it", fmt.Sprintf("%s is %#o", path, info.Mode.Perm()), "chmod -R u+rwX "+dir+"/.spool")
	case hasModes && info.Mode&0o022 != 0:
		e.find("spool.permissions", Failure, "others can change it", fmt.Sprintf("%s is %#o", path, info.Mode.Perm()), "chmod -R go-rwx "+dir+"/.spool")
		return true
	case hasModes && info.Mode&0o077 != 0:
		e.find("spool.permissions", Warning, "others can read it", fmt.Sprintf("%s is %#o", path, info.Mode.Perm()), "chmod -R go-rwx "+dir+"/.spool")
		return true
	default:
		return true
	}
	return false
}

// own are the files in the spool itself.
var own = [...]string{queue.FileName, "queue.redo", "ledger.json", "agent.lock", "agent.lock.held", "distill-pending.lock"}

// lookAround looks at all entries of the spool and of its directories, and
// reports whether the spool can be opened.
func (e *examiner) lookAround(root *spoolfiles.Dir) bool {
	sound := true
	subdirs := []string{"tmp", "incoming", "control", "rejected"}
	var modes []string // of files that others may read
	var foreign, links, strays []string
	e.each(root, func(name string, info spoolfiles.Info) {
		path := spoolfiles.DirName + "/" + name
		if slices.Contains(subdirs, name) {
			if !e.soundDir(path, info) {
				sound = false
				return
			}
			sub, err := root.OpenDir(name)
			if err != nil {
				e.find("spool.permissions", Failure, "cannot be looked into", path+": "+reason(err), "chmod -R u+rwX "+dir+"/.spool")
				sound = false
				return
			}
			defer sub.Close()
			e.each(sub, func(file string, info spoolfiles.Info) {
				path := path + "/" + file
				// Rejects are whatever was dropped.
				if name != "rejected" && !info.Ours() {
					foreign = append(foreign, path)
				}
				if e.strays(name, file, info) {
					strays = append(strays, path)
				}
				if hasModes && info.Mode.IsRegular() && info.Ours() && info.Mode&0o077 != 0 && name != "rejected" {
					modes = append(modes, fmt.Sprintf("%s is %#o", path, info.Mode.Perm()))
				}
			})
			return
		}
		switch known := slices.Contains(own[:], name); {
		case known && !info.Mode.IsRegular():
			links = append(links, path+" is "+kind(info))
		case known && info.Links > 1:
			links = append(links, fmt.Sprintf("%s has %d hard links", path, info.Links))
		case !info.Ours():
			foreign = append(foreign, path)
		case hasModes && info.Mode.IsRegular() && info.Mode&0o077 != 0:
			modes = append(modes, fmt.Sprintf("%s is %#o", path, info.Mode.Perm()))
		}
		if !slices.Contains(own[:], name) && !strings.HasPrefix(name, ".") {
			strays = append(strays, path)
		}
	})
	if len(links) > 0 {
		e.find("spool.links", Failure, "a file of the spool is not the plain file that it ought to be, and is not used", some(links), "rm "+dir+"/"+strings.Fields(links[0])[0])
	}
	if len(foreign) > 0 {
		e.find("spool.owner", Failure, "files in it belong to others, and are not used", some(foreign), chown(dir+"/.spool"))
	}
	if len(modes) > 0 {
		e.find("spool.permissions", Warning, "files in it can be read by others, were it not for the directories", some(modes), "chmod -R go-rwx "+dir+"/.spool")
	}
	if len(strays) > 0 {
		e.find("spool.strays", Warning, "there are files that nobody will ever fold or remove", some(strays), "ls -laR "+dir+"/.spool, then rm what is not wanted")
	}
	return sound
}

// kind says what something is that is no plain file.
func kind(info spoolfiles.Info) string {
	switch {
	case info.Mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case info.Mode.IsDir():
		return "a directory"
	}
	return "no plain file"
}

// each calls fn for every entry of a directory, up to a number that no spool
// in order comes near.
func (e *examiner) each(d *spoolfiles.Dir, fn func(name string, info spoolfiles.Info)) {
	names, err := d.List()
	for _, name := range names[:min(len(names), looksAt)] {
		if info, err := d.Lstat(name); err == nil { // else it has gone
			fn(name, info)
		}
	}
	if err != nil {
		e.find("spool.permissions", Failure, "cannot be listed", d.Path()+": "+reason(err), "chmod -R u+rwX "+dir+"/.spool")
	}
}

// strays reports whether a file in one of the spool's directories is there for
// nothing.
func (e *examiner) strays(in, name string, info spoolfiles.Info) bool {
	age := e.age(info)
	switch in {
	case "tmp":
		return age > abandoned || info.Mode.IsDir() && age > prompt
	case "incoming":
		// A producer without tmp may be writing a dot-file.
		if strings.HasPrefix(name, ".") {
			return age > abandoned
		}
		return !spoolfiles.IsDropName(name) && age > prompt
	case "control":
		if strings.HasPrefix(name, ".") {
			return age > abandoned && !strings.HasSuffix(name, ".lock")
		}
		for _, suffix := range []string{spoolfiles.RequestSuffix, spoolfiles.ReplySuffix, spoolfiles.ErrorSuffix, spoolfiles.ReturningSuffix} {
			if id, ok := strings.CutSuffix(name, suffix); ok && spoolfiles.ValidID(id) && !info.Mode.IsDir() {
				return false
			}
		}
		return age > prompt
	}
	return false
}

func (e *examiner) age(info spoolfiles.Info) time.Duration {
	return e.now.Sub(time.Unix(0, info.MTime))
}

// long is a time for people, as exactly as they care for.
func long(d time.Duration) string {
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// incoming looks for drops that wait for too long.
func (e *examiner) incoming(ctx context.Context, sp *spoolfiles.Spool) {
	oldest, n := e.waiting(sp.Incoming, spoolfiles.IsDropName)
	if n == 0 || e.age(oldest.Info) <= prompt {
		return
	}
	which := fmt.Sprintf("%d, the oldest for %s", n, long(e.age(oldest.Info)))
	if n > looksAt {
		which = fmt.Sprintf("more than %d, one of them for %s", looksAt, long(e.age(oldest.Info)))
	}
	if !e.served {
		e.find("spool.drops", Warning, "drops wait, for no agent serves the project", which, e.facts.toStart()+", or agent drain --project "+dir)
		return
	}
	// It may have come this moment with an old date.
	if e.gone(ctx, sp.Incoming, oldest) {
		return
	}
	e.find("spool.drops", Failure, "drops wait although an agent serves the project", which, "see why: agent status --project "+dir+", and the agent's log; "+e.restart)
}

// waiting returns the oldest entry that is wanted, and how many there are.
func (e *examiner) waiting(d *spoolfiles.Dir, wanted func(name string) bool) (oldest spoolfiles.Entry, n int) {
	newest := int64(math.MinInt64)
	if d == nil {
		return oldest, 0
	}
	e.each(d, func(name string, info spoolfiles.Info) {
		if !wanted(name) {
			return
		}
		if n++; n == 1 || info.MTime < oldest.MTime {
			oldest = spoolfiles.Entry{Name: name, Info: info}
		}
		newest = max(newest, info.MTime)
	})
	if ahead := time.Unix(0, newest).Sub(e.now); n > 0 && ahead > future {
		e.find("spool.clock", Warning, "files are from the future: the clock is wrong, or was", fmt.Sprintf("%s, by %s", filepath.Base(d.Path()), long(ahead)), "date; and set the clock: timedatectl")
	}
	return oldest, n
}

// gone reports whether a file goes away within a moment.
func (e *examiner) gone(ctx context.Context, d *spoolfiles.Dir, f spoolfiles.Entry) bool {
	select {
	case <-time.After(recheck):
	case <-ctx.Done():
	}
	info, err := d.Lstat(f.Name)
	return err != nil || info.Ino != f.Ino
}

// control looks for requests and replies that wait for too long.
func (e *examiner) control(ctx context.Context, sp *spoolfiles.Spool) {
	ending := func(suffix string) func(string) bool {
		return func(name string) bool { return strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, ".") }
	}
	oldest, n := e.waiting(sp.Control, ending(spoolfiles.RequestSuffix))
	if n > 0 && e.age(oldest.Info) > prompt && !e.gone(ctx, sp.Control, oldest) {
		which := fmt.Sprintf("%d, the oldest for %s", n, long(e.age(oldest.Info)))
		if e.served {
			e.find("spool.requests", Failure, "requests are not answered although an agent serves the project", which, "see why in the agent's log; "+e.restart)
		} else {
			e.find("spool.requests", Warning, "requests wait, for no agent serves the project", which, e.facts.toStart())
		}
	}
	oldest, n = e.waiting(sp.Control, ending(spoolfiles.ReplySuffix))
	if n > 0 && e.age(oldest.Info) > e.facts.Options.ReplyTTL+prompt {
		which := fmt.Sprintf("%d, the oldest for %s", n, long(e.age(oldest.Info)))
		e.find("spool.replies", Warning, "replies that nobody has claimed have not returned to the queue", which, e.facts.toStart()+", or agent drain --project "+dir)
	}
}

// lockPatience is how long the queue's lock is waited for.
const lockPatience = time.Second

// queue looks at the queue, the ledger and the redo record. It does not have
// them mended, as everybody else who opens a queue does.
func (e *examiner) queue(ctx context.Context, sp *spoolfiles.Spool) {
	if e.halfDone(ctx, sp) {
		return // to look further would finish it
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, errors.New("another program holds the lock of the queue"))
	defer cancel()
	q := queue.New(sp, e.facts.Options, nil)
	malformed, ahead := 0, uint64(0)
	limit := uint64(e.now.Add(future).Unix())
	err := q.Peek(ctx, func(s signal.Signal) error {
		if s.RecordedAt > limit {
			ahead++
		}
		return nil
	}, func(int, error) { malformed++ })
	switch {
	case err != nil && ctx.Err() != nil:
		e.find("spool.queue", Warning, "another program holds the lock of the queue", "", "see which: fuser -v "+dir+"/.spool/"+queue.FileName)
		return
	case err != nil:
		e.find("spool.queue", Failure, "the queue cannot be read", reason(err), "ls -la "+dir+"/.spool")
		return
	case malformed > 0:
		e.find("spool.queue", Warning, "the queue has lines that are no signals; they are rejected when it next changes", fmt.Sprint(malformed), "see them: agent peek --project "+dir)
	}
	if ahead > 0 {
		e.find("spool.clock", Warning, "signals are from the future: the clock is wrong, or was", fmt.Sprint(ahead), "date; and set the clock: timedatectl")
	}
	if _, err := q.Status(ctx); err != nil && ctx.Err() == nil {
		e.find("spool.ledger", Failure, "the ledger cannot be used; it is rejected when the queue next changes, and the account begins anew", reason(err), "agent drop --project "+dir+" --tool doctor, has it changed now")
	}
}

// halfDone reports whether a change of the queue is under way, and stays so: a
// process has died over it, or hangs.
func (e *examiner) halfDone(ctx context.Context, sp *spoolfiles.Spool) bool {
	for end := time.Now().Add(lockPatience); pending(sp); {
		if time.Now().After(end) || ctx.Err() != nil {
			if e.served {
				e.find("spool.redo", Failure, "a change of the queue does not get on", "", "see why in the agent's log; "+e.restart)
			} else {
				e.find("spool.redo", Warning, "a process has died in the middle of a change", "", "agent peek --project "+dir+" finishes it, and so does an agent")
			}
			return true
		}
		select {
		case <-time.After(recheck / 10):
		case <-ctx.Done():
		}
	}
	return false
}

// pending reports whether queue.redo has a record: see package queue.
func pending(sp *spoolfiles.Spool) bool {
	f, err := sp.Root.OpenFile("queue.redo", os.O_RDONLY)
	if err != nil {
		return false // what is wrong with it has been told
	}
	defer f.Close()
	var first [1]byte
	n, _ := f.ReadAt(first[:], 0)
	return n == 1 && first[0] != '\n'
}
