package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"spoolagent/agent"
	"spoolagent/agent/registry"
	"spoolagent/agent/watch"
	"spoolagent/configs/hooks"
	"spoolagent/internal/patience"
	"spoolagent/internal/place"
	"spoolagent/internal/quote"
	"spoolagent/queue"
	"spoolagent/service"
)

// Level is the result of a check.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning" // it works, but somebody should know
	Failure Level = "failure" // something does not work
	Skipped Level = "skipped" // it could not be checked, and Detail says why
)

// Check is one check's result.
type Check struct {
	Name   string `json:"name"`
	Status Level  `json:"status"`
	Detail string `json:"detail"` // hostile text may be in it
	Mend   string `json:"mend"`   // what to do, mostly a command; "" if nothing

	// Project is the one that has this wrong, if it is about a project.
	Project string `json:"project,omitempty"`
}

// Facts are what the doctor cannot find out by itself.
type Facts struct {
	StateDir  string
	Start     string // the directory from which a hook would search for its project; "" if there is none
	Registry  registry.Registry
	Version   string        // of this program
	Projects  []string      // that are registered or configured, absolute
	Options   queue.Options // as configured
	ConfigErr error         // why the configuration is refused
	Service   service.State // Reach also says why there is no service manager
	Hooks     func(context.Context) Hooks
}

// Hooks is the state of the hooks of AI tools and git.
type Hooks struct {
	// Connections include the tools that are installed but not connected.
	Connections []hooks.Connection
	Last        map[string]time.Time // the newest signal, by the tool's name
}

// names are those of all checks, in the order in which they are reported. The
// project of this directory and the self-test come after them.
var names = [...]string{"agent.running", "agent.version", "service", "config", "registry", "hooks", "limits",
	"project.exists", "spool.answer", "spool.permissions", "spool.off", "spool.git", "spool.waiting", "spool.rejects", "spool.queue",
	"spool.filesystem", "disk"}

// Examine makes all checks. Failures come first, then warnings, then what was
// skipped.
func Examine(ctx context.Context, f Facts) []Check {
	d := &diagnosis{facts: f}
	d.checkAgents()
	d.checkService()
	if f.ConfigErr != nil {
		d.find("config", Failure, f.ConfigErr.Error(), "edit the file; 'agent print config' shows all settings")
	}
	d.checkRegistry()
	d.checkHooks(ctx)
	d.checkLimits()
	d.checkProjects(ctx)

	all := d.found
	for _, name := range names {
		if !slices.ContainsFunc(d.found, func(c Check) bool { return c.Name == name }) {
			all = append(all, Check{Name: name, Status: OK, Detail: "nothing is wrong"})
		}
	}
	if f.Start != "" {
		all = append(all, checkHere(f.Start))
	}
	all = append(all, d.selfTest(ctx))
	order := []Level{Failure, Warning, Skipped, OK}
	slices.SortStableFunc(all, func(a, b Check) int {
		return cmp.Compare(slices.Index(order, a.Status), slices.Index(order, b.Status))
	})
	return all
}

// diagnosis is an examination under way.
type diagnosis struct {
	facts  Facts
	server *agent.Holder // the agent that serves all projects of this user; nil if none runs
	found  []Check       // what is wrong
}

func (d *diagnosis) find(name string, status Level, what, mend string) {
	d.found = append(d.found, Check{Name: name, Status: status, Detail: what, Mend: mend})
}

func (d *diagnosis) checkAgents() {
	h, running, err := agent.User(d.facts.StateDir)
	if err != nil {
		d.find("agent.running", Failure, err.Error(), "ls -la "+quote.Shell(d.facts.StateDir))
		return
	}
	if running {
		d.server = &h
	}
	switch s := d.server; {
	case s == nil:
		d.find("agent.running", Failure, "no agent serves the projects of this user: drops wait until one does, or until a drain", d.toStart())
	case s.Problem != "":
		d.find("agent.running", Failure, s.Problem, fmt.Sprintf("fix the configuration, then: kill -HUP %d", s.PID))
	case s.Version != d.facts.Version:
		mend := d.toRestart()
		if s.Service && !place.IsThis(d.facts.Service.Binary) {
			mend = "agent install" // it has the service start this program, and restarts it
		}
		d.find("agent.version", Warning, fmt.Sprintf("the running agent is version %s, this program is version %s", s.Version, d.facts.Version), mend)
	}
}

// checkLimits tries to watch a directory: the limits are of a user, and shared
// by all of the user's programs.
func (d *diagnosis) checkLimits() {
	t := watch.NewTable(watch.New)
	err := t.Add(os.TempDir(), func(string, fsnotify.Op) {})
	if err = errors.Join(err, t.Close()); err != nil {
		d.find("limits", Failure, "projects are polled every second: "+err.Error(), "raise the limit; to keep it, in /etc/sysctl.d")
	}
}

// toStart is how an agent is started here.
func (d *diagnosis) toStart() string {
	switch s := d.facts.Service; {
	case s.Installed:
		return "agent start"
	case s.Reach != nil:
		return "agent run"
	}
	return "agent install"
}

// toRestart is how the agent is started again.
func (d *diagnosis) toRestart() string {
	if d.server == nil || d.server.Service {
		return "agent restart"
	}
	return fmt.Sprintf("kill %d, and start it again: %s", d.server.PID, d.toStart())
}

func (d *diagnosis) checkService() {
	s := d.facts.Service
	switch {
	case !s.Installed && s.Reach != nil:
		d.find("service", Warning, s.Reach.Error(), "")
		return
	case !s.Installed:
		d.find("service", Warning, "the agent is not installed as a service: it does not start by itself", "agent install")
		return
	case s.Reach != nil:
		d.find("service", Skipped, "cannot be asked: "+s.Reach.Error(), "")
		return
	}
	ours, err := place.Program()
	theirs, serr := os.Stat(s.Binary)
	there := serr == nil && theirs.Mode().IsRegular()
	elsewhere := there && err == nil && s.Binary != ours
	for _, c := range []struct {
		wrong      bool
		level      Level
		what, mend string
	}{
		{!there, Failure, "there is no program where it starts one: " + s.Binary, "agent install"},
		{elsewhere, Warning, "it starts " + s.Binary + ", but with this program it should start " + ours, "agent install"},
		{there && !elsewhere && !place.IsThis(s.Binary), Warning, s.Binary + ", which it starts, is not this program, but another version or somebody else's", "agent install"},
		{!s.Running, Failure, "not running: " + s.Detail, "agent start; see why it ended: " + s.Logs},
		{!s.Enabled, Warning, "it does not start at login", "agent install"},
		{s.Linger == service.LingerOff, Warning, "it ends when you log out, and starts at the next login", "agent install --linger"},
	} {
		if c.wrong {
			d.find("service", c.level, c.what, c.mend)
		}
	}
}

func (d *diagnosis) checkRegistry() {
	entries, err := d.facts.Registry.List()
	if err != nil {
		d.find("registry", Failure, err.Error(), "ls -la "+quote.Shell(d.facts.Registry.Dir))
	}
	for _, e := range entries {
		if e.Err != nil {
			d.find("registry", Warning, e.Err.Error(), "rm "+quote.Shell(e.File))
		}
	}
}

// wrongHooks is what is wrong with hooks in these states.
var wrongHooks = map[hooks.State]string{
	hooks.None:     " is installed, but not connected: it leaves no signals",
	hooks.Outdated: " is connected, but its hooks, or what they run, are not complete or not of this version",
	hooks.Gone:     " was connected, but somebody else has taken its hooks out again",
}

// checkHooks checks the settings of tools, but waits no longer for them than for
// a project, since settings of projects are among them.
func (d *diagnosis) checkHooks(ctx context.Context) {
	h, ok := patience.Within(ctx, limit, d.facts.Hooks)
	if !ok {
		d.find("hooks", Failure, fmt.Sprintf("no answer within %v", limit), "agent hooks list, in each project that has hooks")
	}
	for _, c := range h.Connections {
		if c.Doubled != "" {
			d.found = append(d.found, Check{"hooks", Warning, c.Doubled, "", c.Project})
		}
		mend := "agent hooks install " + c.Tool.Name
		if c.Project != "" {
			mend += " --project " + quote.Shell(c.Project)
		}
		what, wrong := wrongHooks[c.State]
		if c.Err != nil {
			what, wrong, mend = "'s settings cannot be read: "+c.Err.Error(), true, "mend the file, then: "+mend
		} else if !wrong && c.Off != "" {
			what, wrong = " is connected, but does not run the hooks: "+c.Off, true
			mend = "change that, or: agent hooks uninstall " + strings.TrimPrefix(mend, "agent hooks install ")
		}
		last := h.Last[c.Tool.Name]
		switch {
		case wrong:
			d.found = append(d.found, Check{"hooks", Warning, c.Tool.Title + what, mend, c.Project})
		case !last.IsZero():
			what = " is connected, and its last signal came at " + last.Format(time.DateTime)
			d.found = append(d.found, Check{"hooks", OK, c.Tool.Title + what, "", c.Project})
		case c.Tool.Here():
			what, mend = " is connected, but no signal of it has come yet", "use it once, then: agent hooks list"
			d.found = append(d.found, Check{"hooks", Warning, c.Tool.Title + what, mend, c.Project})
		}
	}
}
