package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"spoolagent/agent"
	"spoolagent/agent/watch"
	"spoolagent/internal/patience"
	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

const (
	// limit is how long one project is waited for.
	limit = 5 * time.Second
	// allLimit is how long all of them are waited for.
	allLimit = 30 * time.Second
	// shortLimit is how long git may take to read its index, and how long the
	// queue's lock is waited for.
	shortLimit = 1500 * time.Millisecond
	// tolerance is how long an agent may take for what it does at once.
	tolerance = time.Minute
)

func (d *diagnosis) checkProjects(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, allLimit)
	defer cancel()
	found := make([][]Check, len(d.facts.Projects))
	patience.Each(len(found), func(i int) { found[i] = d.checkProject(ctx, d.facts.Projects[i]) })
	d.found = append(d.found, slices.Concat(found...)...)
}

// checkProject checks one project, but waits no longer than the limit.
func (d *diagnosis) checkProject(ctx context.Context, project string) []Check {
	run := func(ctx context.Context) *examiner {
		e := &examiner{project: project, dir: quote.Shell(project), d: d}
		e.run(ctx)
		return e
	}
	e, ok := patience.Within(ctx, limit, run)
	if !ok {
		e = &examiner{project: project, dir: quote.Shell(project)}
		e.find("spool.answer", Failure, fmt.Sprintf("not checked: no answer within %v (%v for all)", limit, allLimit),
			"see whether the file system's server can be reached: ls "+e.dir)
	}
	return e.found
}

// examiner checks one project.
type examiner struct {
	project string
	dir     string // the same, for a shell
	d       *diagnosis
	served  bool // an agent serves it
	found   []Check
}

func (e *examiner) find(name string, status Level, what, mend string) {
	e.found = append(e.found, Check{name, status, e.project + ": " + what, mend, e.project})
}

func (e *examiner) run(ctx context.Context) {
	if which, level := spaceOf(e.project).scarce(); level != OK {
		e.find("disk", level, "the disk is full, or nearly full; then nothing can be folded, and hooks fail to leave drops: "+which, "df -h "+e.dir+"; df -i "+e.dir)
	}
	if name := watch.Foreign(e.project); name != "" {
		e.find("spool.filesystem", Warning, "it is on "+name+": it is polled every second, and must be used by this machine alone", "move the project to a local disk")
	}
	if tracked(ctx, e.project) {
		e.find("spool.git", Failure, "the spool is tracked by git: whoever clones it gets your signals, and you theirs", "git -C "+e.dir+" rm -r -q --cached .spool, and commit")
	}
	sp, err := spoolfiles.OpenExisting(e.project)
	if err != nil {
		e.cannotOpen(err)
		return
	}
	defer sp.Close()
	e.permissions(sp)
	if sp.Off() {
		e.find("spool.off", Warning, "recording is off: hooks store nothing", "agent on "+e.dir)
	}
	_, e.served, _ = agent.Serving(sp) // a lock of another user has been reported
	e.waiting(sp)
	if n, err := sp.CountRejects(); err == nil && n > 0 {
		e.find("spool.rejects", Warning, fmt.Sprintf("%d rejected; the reasons are beside them", n), "ls "+e.dir+"/.spool/rejected; rm -r what is of no use")
	}
	e.queue(ctx, sp)
}

// chown and chmod make a spool its user's, and private.
func (e *examiner) chown() string {
	return fmt.Sprintf("sudo chown -R %d %s/.spool", os.Geteuid(), e.dir)
}
func (e *examiner) chmod() string { return "chmod -R u+rwX,go-rwx " + e.dir + "/.spool" }

// cannotOpen says why a spool cannot be opened.
func (e *examiner) cannotOpen(err error) {
	mend := "ls -la " + e.dir + "/.spool; rm what is in the place of a directory"
	switch owner := (*spoolfiles.OwnerError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		e.find("project.exists", Warning, "the directory, or its .spool, is missing", "agent remove "+e.dir+", or agent add "+e.dir)
		return
	case errors.As(err, &owner):
		mend = e.chown()
	case errors.Is(err, fs.ErrPermission):
		mend = e.chmod()
	}
	e.find("spool.permissions", Failure, "it cannot be opened: "+err.Error(), mend)
}

// permissions checks the modes of the spool's directories. Those of files do not
// matter in private directories.
func (e *examiner) permissions(sp *spoolfiles.Spool) {
	for _, d := range []*spoolfiles.Dir{sp.Root, sp.Tmp, sp.Incoming, sp.Work, sp.Control, sp.Rejected} {
		if d == nil {
			continue
		}
		info, err := d.Stat()
		switch mode := info.Mode.Perm(); {
		case err != nil || runtime.GOOS == "windows":
		case mode&0o700 != 0o700:
			e.find("spool.permissions", Failure, fmt.Sprintf("its owner cannot use %s: %#o", d.Path(), mode), e.chmod())
		case mode&0o077 != 0:
			e.find("spool.permissions", Warning, fmt.Sprintf("others can read or change %s: %#o", d.Path(), mode), e.chmod())
		}
	}
}

// waiting checks how long drops, requests and replies have waited.
func (e *examiner) waiting(sp *spoolfiles.Spool) {
	drops, _ := sp.ListDrops() // permissions says why it cannot be listed
	control, _ := sp.ScanControl()
	if len(drops) > 0 {
		e.waitingIn("drops", len(drops), drops[0], tolerance)
	}
	if r := control.Requests; len(r) > 0 {
		e.waitingIn("requests", len(r), r[0].Entry, tolerance)
	}
	if r := control.Replies; len(r) > 0 {
		e.waitingIn("replies without an acknowledgement", len(r), r[0].Entry, e.d.facts.Options.ReplyTTL+tolerance)
	}
}

// waitingIn checks files of one kind.
func (e *examiner) waitingIn(what string, n int, oldest spoolfiles.Entry, allowed time.Duration) {
	age := time.Since(time.Unix(0, oldest.MTime))
	what = fmt.Sprintf("%d %s wait, the oldest for %v, ", n, what, age.Round(time.Second))
	switch {
	case age <= allowed:
	case e.served:
		e.find("spool.waiting", Failure, what+"although an agent serves the project", "see why: agent status --project "+e.dir+", and the agent's log; "+e.d.toRestart())
	default:
		e.find("spool.waiting", Warning, what+"for no agent serves the project", e.d.toStart()+", or agent drain --project "+e.dir)
	}
}

func (e *examiner) queue(ctx context.Context, sp *spoolfiles.Spool) {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	malformed := 0
	err := queue.New(sp, e.d.facts.Options, nil).Peek(ctx, func(signal.Signal) error { return nil }, func(int, error) { malformed++ })
	switch {
	case err != nil && ctx.Err() != nil:
		e.find("spool.queue", Warning, "another program holds the lock of the queue", "see which: fuser -v "+e.dir+"/.spool/"+queue.FileName)
	case err != nil:
		e.find("spool.queue", Failure, "the queue cannot be read: "+err.Error(), "ls -la "+e.dir+"/.spool")
	case malformed > 0:
		e.find("spool.queue", Warning, fmt.Sprintf("%d lines of the queue are no signals; they are rejected when it next changes", malformed), "see them: agent peek --project "+e.dir)
	}
}

// tracked asks git whether the spool is in its index. The settings of a
// repository can name programs for git to run: the one that watches files is the
// only one that this command would run, and is overridden. If git fails, the
// spool is taken not to be tracked.
func tracked(ctx context.Context, project string) bool {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "-C", project, "-c", "core.fsmonitor=false", "--literal-pathspecs", "--no-optional-locks",
		"ls-files", "--error-unmatch", "--", spoolfiles.DirName)
	// In a hook of git, these name that hook's repository.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	return cmd.Run() == nil
}

// space is how much room a file system has; a total is 0 if it is not limited,
// or not known.
type space struct {
	bytes, freeBytes   uint64
	inodes, freeInodes uint64
}

// scarce says what there is too little of, and how bad that is.
func (s space) scarce() (what string, level Level) {
	switch {
	case s.bytes > 0 && s.freeBytes == 0, s.inodes > 0 && s.freeInodes == 0:
		level = Failure
	case s.freeBytes < min(100<<20, s.bytes/10), s.freeInodes < min(1000, s.inodes/10):
		level = Warning
	default:
		return "", OK
	}
	return fmt.Sprintf("%.1f of %.1f MiB, %d of %d inodes", float64(s.freeBytes)/(1<<20), float64(s.bytes)/(1<<20), s.freeInodes, s.inodes), level
}

// checkHere says which project a hook gets that starts in this directory, and why.
func checkHere(start string) Check {
	project := spoolfiles.Find(start)
	why := "since no directory upwards has a .spool or is the top of a git work tree"
	if _, err := os.Lstat(filepath.Join(project, ".git")); err == nil {
		why = "the top of the git work tree"
	}
	sp, err := spoolfiles.OpenExisting(project)
	switch {
	case err == nil:
		defer sp.Close()
		if sp.Off() {
			return Check{"here", Warning, "a hook here stores nothing: recording is off in " + project, "agent on " + quote.Shell(project), ""}
		}
		why = "the nearest directory upwards that has a .spool"
	case !errors.Is(err, fs.ErrNotExist):
		return Check{"here", Warning, "a hook here stores nothing: " + err.Error(), "ls -la " + quote.Shell(filepath.Join(project, spoolfiles.DirName)), ""}
	}
	return Check{Name: "here", Status: OK, Detail: "a hook here stores in " + project + ", " + why}
}
