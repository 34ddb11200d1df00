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
	"spoolagent/agent/status"
	"spoolagent/internal/patience"
	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

const (
	// limit is how long one project is waited for.
	limit = 5 * time.Second
	// allLimit is how long all of them are waited for.
	allLimit = 30 * time.Second
	// gitLimit is how long git may take to read its index.
	gitLimit = 1500 * time.Millisecond
	// tolerance is how long an agent may take for what it does at once.
	tolerance = time.Minute
)

// MoreRoom is what keeps signals from being evicted.
const MoreRoom = "connect a consumer that drains more often (agent drain --follow), or raise cap in the configuration (agent print config)"

// ofProject is what a report says of a project that somebody should know.
func ofProject(p status.ProjectStatus) []Check {
	f := diagnosis{project: p.Path}
	dir := quote.Shell(p.Path)
	switch {
	case p.State == agent.StateMissing:
		f.find("project.exists", Warning, p.Error, p.Advice)
	case p.NeedsAttention():
		f.find("project.served", Failure, p.Error, p.Advice)
	case p.Error != "":
		f.find("project.served", Warning, p.Error, "")
	}
	if p.State == agent.StateStopped && p.Incoming > 0 {
		f.find("spool.waiting", Warning, fmt.Sprintf("drops that wait for an agent, or for a drain: %d", p.Incoming), "agent drain --project "+dir)
	}
	if p.Off {
		f.find("spool.off", Warning, "recording is off: hooks and 'agent drop' store nothing", "agent on "+dir)
	}
	if n := p.EvictedSinceDrain; n > 0 {
		f.find("spool.evicted", Warning, fmt.Sprintf("signals evicted since the last drain: %d, for the queue keeps %d; %s", n, p.Cap, MoreRoom),
			"")
	}
	if p.Rejected > 0 {
		f.find("spool.rejects", Warning, fmt.Sprintf("rejected, with the reasons beside them: %d", p.Rejected), "ls "+dir+"/.spool/rejected")
	}
	return f.found
}

func (d *diagnosis) checkProjects(ctx context.Context, projects []status.ProjectStatus) {
	ctx, cancel := context.WithTimeout(ctx, allLimit)
	defer cancel()
	found := make([][]Check, len(projects))
	patience.Each(len(found), func(i int) {
		checks, ok := patience.Within(ctx, limit, func(ctx context.Context) []Check { return d.checkProject(ctx, projects[i]) })
		if !ok { // the report says that it does not answer
			checks = ofProject(projects[i])
		}
		found[i] = checks
	})
	d.found = append(d.found, slices.Concat(found...)...)
}

// checkProject adds to the findings of the report what takes a closer look.
func (d *diagnosis) checkProject(ctx context.Context, p status.ProjectStatus) []Check {
	dir := quote.Shell(p.Path)
	sp, err := spoolfiles.OpenExisting(p.Path)
	if p.State != agent.StateMissing && p.NeedsAttention() {
		p.Advice = toOpen(err, dir)
	}
	f := diagnosis{d.facts, p.Path, ofProject(p)}
	if room := littleRoom(p.Path); room != "" {
		f.find("disk", Warning, "when the disk is full, nothing is folded, and hooks cannot leave drops: "+room, "df -h "+dir+"; df -i "+dir)
	}
	if tracked(ctx, p.Path) {
		f.find("spool.git", Failure, "the spool is tracked by git: whoever clones it gets your signals, and you theirs; remove it from the index, and commit",
			"git -C "+dir+" rm -r -q --cached .spool")
	}
	if err != nil {
		return f.found
	}
	defer sp.Close()
	for _, used := range []*spoolfiles.Dir{sp.Root, sp.Tmp, sp.Incoming} {
		switch info, err := used.Stat(); {
		case err != nil || runtime.GOOS == "windows":
		case info.Mode.Perm()&0o700 != 0o700:
			f.find("spool.permissions", Failure, fmt.Sprintf("hooks cannot leave drops: %s has the permissions %#o", quote.Text(used.Path()), info.Mode.Perm()), toClose+dir+"/.spool")
		case used == sp.Root && info.Mode.Perm()&0o077 != 0: // it protects the others, too
			f.find("spool.permissions", Warning, fmt.Sprintf("others can read or change the spool: %#o", info.Mode.Perm()), toClose+dir+"/.spool")
		}
	}
	drops, _ := sp.ListDrops() // the report says why it cannot be listed
	if _, served, _ := agent.Serving(sp); served && len(drops) > 0 && time.Since(time.Unix(0, drops[0].MTime)) > tolerance {
		f.find("spool.waiting", Failure, fmt.Sprintf("%d drops have waited for more than %v, although an agent serves the project: see its log", len(drops), tolerance),
			d.facts.toRestart())
	}
	return f.found
}

// toClose makes what follows usable for its owner, and for nobody else.
const toClose = "chmod -R u+rwX,go-rwx "

// toOpen is what to do about a spool that cannot be opened, or if it can, about
// its queue.
func toOpen(err error, dir string) string {
	switch owner := (*spoolfiles.OwnerError)(nil); {
	case err == nil:
		return "fuser -v " + dir + "/.spool/" + queue.FileName + "; ls -la " + dir + "/.spool"
	case errors.As(err, &owner):
		return fmt.Sprintf("sudo chown -R %d %s/.spool", os.Geteuid(), dir)
	case errors.Is(err, fs.ErrPermission):
		return toClose + dir + "/.spool"
	}
	return "ls -la " + dir + "/.spool"
}

// tracked asks git whether the spool is in its index. The settings of a
// repository can name programs for git to run: the one that watches files is the
// only one that this command would run, and is overridden. If git fails, the
// spool is taken not to be tracked.
func tracked(ctx context.Context, project string) bool {
	ctx, cancel := context.WithTimeout(ctx, gitLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "-C", project, "-c", "core.fsmonitor=false", "--literal-pathspecs", "--no-optional-locks",
		"ls-files", "--error-unmatch", "--", spoolfiles.DirName)
	// In a hook of git, these name that hook's repository.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	return cmd.Run() == nil
}

// checkHere says which project a hook gets that starts in this directory, and why.
func checkHere(start string) Check {
	project := spoolfiles.Find(start)
	dir := quote.Shell(project)
	sp, err := spoolfiles.OpenExisting(project)
	if err == nil {
		defer sp.Close()
	}
	_, noTop := os.Lstat(filepath.Join(project, ".git"))
	why := "since no directory upwards has a .spool or is the top of a git work tree"
	switch {
	case err == nil && sp.Off():
		return Check{Name: "here", Status: Warning, Detail: "a hook here stores nothing: recording is off in " + project, Mend: "agent on " + dir}
	case err == nil:
		why = "the nearest directory upwards that has a .spool"
	case !errors.Is(err, fs.ErrNotExist):
		return Check{Name: "here", Status: Warning, Detail: "a hook here stores nothing: " + err.Error(), Mend: toOpen(err, dir)}
	case !mayMake(project):
		return Check{Name: "here", Status: Warning, Detail: "a hook here stores nothing: no .spool can be made in " + project}
	case noTop == nil:
		why = "the top of the git work tree"
	}
	return Check{Name: "here", Status: OK, Detail: "a hook here stores in " + project + ", " + why}
}
