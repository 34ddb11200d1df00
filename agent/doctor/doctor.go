package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"spoolagent/agent"
	"spoolagent/agent/registry"
	"spoolagent/agent/status"
	"spoolagent/agent/watch"
	"spoolagent/configs/hooks"
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
	Detail string `json:"detail"` // in one or more lines; hostile text may be in it
	Mend   string `json:"mend"`   // what to do, mostly a command; "" if nothing

	// Projects are those that have this wrong, if it is about projects.
	Projects []string `json:"projects,omitempty"`
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
	Scripts     map[string]hooks.State // by path; those that the connections run
}

// names are those of all checks, in the order in which they are reported. The
// project of this directory and the self-test come after them.
var names = [...]string{"agent.running", "agent.version", "agent.rivals", "service", "config", "registry", "hooks", "limits",
	"project.exists", "spool.answer", "spool.permissions", "spool.off", "spool.git", "spool.waiting", "spool.rejects", "spool.queue",
	"spool.filesystem", "spool.clock", "disk"}

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

	wrong := group(d.findings)
	var all []Check
	for _, name := range names {
		n := len(all)
		for _, w := range wrong {
			if w.Name == name {
				all = append(all, w)
			}
		}
		if len(all) == n {
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
	facts    Facts
	server   *agent.Info // the agent that serves all projects of this user; nil if none runs
	findings []finding
}

func (d *diagnosis) find(name string, status Level, what, mend string) {
	d.findIn("", name, status, what, mend)
}

func (d *diagnosis) findIn(project, name string, status Level, what, mend string) {
	d.findings = append(d.findings, finding{name: name, status: status, what: what, mend: mend, project: project})
}

// within returns what f returns. ok is false if ctx ends or patience is over
// before; then f's goroutine is left behind.
func within[T any](ctx context.Context, patience time.Duration, f func(context.Context) T) (result T, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := make(chan T, 1)
	go func() { done <- f(ctx) }()
	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
		return result, false
	}
}

func (d *diagnosis) checkAgents() {
	agents, _, err := status.Leftovers(d.facts.StateDir)
	if err != nil {
		d.find("agent.running", Failure, err.Error(), "ls -la "+quote.Shell(d.facts.StateDir))
		return
	}
	const oneOfThem = "agent status; kill the one that is not wanted"
	for i, a := range agents {
		// An agent for all projects of this user waits if another one runs.
		if waits := strings.HasPrefix(a.Problem, "waiting"); a.User && waits {
			d.find("agent.rivals", Warning, fmt.Sprintf("a second agent (pid %d) waits for the first one to end", a.PID), oneOfThem)
		} else if a.User {
			d.server = &agents[i]
		}
		for _, p := range a.Projects {
			exhausted := strings.Contains(p.Error, syscall.EMFILE.Error()) || strings.Contains(p.Error, syscall.ENOSPC.Error())
			if p.State == agent.StateHeld {
				d.findIn(p.Path, "agent.rivals", Warning, p.Error, oneOfThem)
			} else if exhausted && (p.State == agent.StatePolling || p.State == agent.StateError) {
				d.findIn(p.Path, "limits", Warning, p.Error, raise)
			}
		}
	}
	s := d.server
	switch {
	case s == nil && len(agents) > 0:
		d.find("agent.running", Warning, "the agents that run serve only the projects that they were given", d.toStart())
		return
	case s == nil:
		d.find("agent.running", Failure, "no agent is running: drops wait until one does, or until a drain", d.toStart())
		return
	case s.Problem != "":
		d.find("agent.running", Failure, s.Problem, fmt.Sprintf("fix the configuration, then: kill -HUP %d", s.PID))
	}
	if s.Version != d.facts.Version {
		d.find("agent.version", Warning, fmt.Sprintf("the running agent is version %s, this program is version %s", s.Version, d.facts.Version), d.toRestart())
	}
}

// raise makes room for more watches and open files.
const raise = "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024 (to keep it, in /etc/sysctl.d); " +
	"of open files: ulimit -n 4096, or LimitNOFILE=4096 by systemctl --user edit spool-agent"

// checkLimits tries to watch a directory: the limits are of a user, and shared
// by all of the user's programs.
func (d *diagnosis) checkLimits() {
	w, err := watch.New()
	if err == nil {
		err = w.Add(os.TempDir())
		w.Close()
	}
	if err != nil {
		d.find("limits", Failure, fmt.Sprintf("no directory can be watched any more (%v), so projects are polled every second", err), raise)
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
	}
	if s.Reach != nil {
		d.find("service", Skipped, "cannot be asked: "+s.Reach.Error(), "")
		return
	}
	self, _ := os.Executable()
	ours, _ := os.Stat(self)
	theirs, err := os.Stat(s.Binary)
	if err != nil || !theirs.Mode().IsRegular() {
		d.find("service", Failure, "there is no program where it starts one: "+s.Binary, "agent install")
	} else if ours != nil && !os.SameFile(ours, theirs) {
		d.find("service", Warning, fmt.Sprintf("it starts %s, but this program is %s", s.Binary, self), "agent install, to have it start this program")
	}
	if !s.Running {
		d.find("service", Failure, "not running: "+s.Detail, "agent start; see why it ended: "+s.Logs)
	}
	if !s.Enabled {
		d.find("service", Warning, "it does not start at login", "agent install")
	}
	if s.Linger == service.LingerOff {
		d.find("service", Warning, "it ends when you log out, and starts at the next login", "agent install --linger")
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
	hooks.Partly:   " is connected, but its hooks are not complete",
	hooks.Outdated: " is connected, but its hooks are not those of this version",
	hooks.Gone:     " was connected, but somebody else has taken its hooks out again",
}

// checkHooks checks the settings of tools, but waits no longer for them than for
// a project, since settings of projects are among them.
func (d *diagnosis) checkHooks(ctx context.Context) {
	h, ok := within(ctx, patience, d.facts.Hooks)
	if !ok {
		d.find("hooks", Failure, fmt.Sprintf("no answer within %v", patience), "agent hooks list, in each project that has hooks")
	}
	for _, c := range h.Connections {
		mend := "agent hooks install " + c.Tool.Name
		if c.Project != "" {
			mend += " --project " + dir
		}
		if c.Err != nil {
			d.findIn(c.Project, "hooks", Warning, c.Tool.Title+"'s settings cannot be read: "+c.Err.Error(), "mend the file, then: "+mend)
		} else if wrong, ok := wrongHooks[c.State]; ok {
			d.findIn(c.Project, "hooks", Warning, c.Tool.Title+wrong, mend)
		} else if c.Off != "" {
			d.findIn(c.Project, "hooks", Warning, c.Tool.Title+" is connected, but does not run the hooks: "+c.Off, "change that, or: agent hooks uninstall "+strings.TrimPrefix(mend, "agent hooks install "))
		}
	}
	const mend = "agent hooks install TOOL, for any tool that is connected"
	for file, state := range h.Scripts {
		if state == hooks.None && strings.HasPrefix(filepath.Base(file), "spool-hook") {
			d.find("hooks", Warning, file+" is missing: the hooks run a shell script, which is slower", mend)
		} else if state == hooks.None {
			d.find("hooks", Failure, file+" is missing: the hooks leave no signals", mend)
		} else if state == hooks.Outdated {
			d.find("hooks", Warning, file+" is not that of this version", mend)
		}
	}
}

// finding is something that is wrong. In mend, dir stands for the project's
// directory.
type finding struct {
	name    string
	status  Level
	what    string // the same for all projects that have it
	mend    string
	project string // "" if it is not about a project
	which   string // what it is in this project: a file, a number
}

// dir stands for a project's directory until it is known whether several
// projects have the same thing wrong. No path contains it.
const dir = "\x00"

// maxAlike is how many of the projects that have the same thing wrong are named
// in a Check's Detail.
const maxAlike = 5

// group makes one Check of all findings that are alike.
func group(findings []finding) []Check {
	alike := map[finding][]finding{}
	for _, f := range findings {
		key := f
		key.project, key.which = "", ""
		alike[key] = append(alike[key], f)
	}
	var checks []Check
	for key, same := range alike {
		in := "DIR"
		if len(same) == 1 {
			in = quote.Shell(same[0].project)
		}
		c := Check{Name: key.name, Status: key.status, Detail: oneLine(key.what), Mend: strings.ReplaceAll(key.mend, dir, in)}
		for i, f := range same {
			if f.project == "" {
				continue
			}
			c.Projects = append(c.Projects, f.project)
			if i < maxAlike {
				c.Detail += "\n" + oneLine(strings.TrimSuffix(f.project+": "+f.which, ": "))
			} else if i == maxAlike {
				c.Detail += fmt.Sprintf("\nand %d more", len(same)-i)
			}
		}
		checks = append(checks, c)
	}
	slices.SortFunc(checks, func(a, b Check) int { return cmp.Compare(a.Detail+a.Mend, b.Detail+b.Mend) })
	return checks
}

// oneLine escapes line feeds, which may be in a name.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", `\n`) }
