package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"spoolagent/agent/registry"
	"spoolagent/agent/status"
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
	Mend   string `json:"mend"`   // the command to run; "" if none is needed, or Detail says what to do

	// Project is the one that this is about, if it is about one.
	Project string `json:"project,omitempty"`
}

// Facts are what the doctor cannot find out by itself.
type Facts struct {
	Status    status.Status // of all that is to be checked
	StateDir  string
	Start     string // the directory from which a hook would search for its project; "" if there is none
	Registry  registry.Registry
	Version   string        // of this program
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
var names = [...]string{"agent.running", "agent.version", "service", "config", "registry", "hooks", "project.exists",
	"project.served", "spool.permissions", "spool.off", "spool.git", "spool.waiting", "spool.rejects", "spool.evicted", "disk"}

// Known returns what is wrong as far as the facts tell it, the worst first.
func Known(f Facts) []Check {
	d := &diagnosis{facts: f}
	d.checkAgent()
	if f.ConfigErr != nil {
		d.find("config", Failure, f.ConfigErr.Error()+"; edit the file", "")
	}
	d.checkRegistry()
	for _, p := range f.Status.Projects {
		d.found = append(d.found, ofProject(p)...)
	}
	return sorted(d.found)
}

// Examine makes all checks. Failures come first, then warnings, then what was
// skipped.
func Examine(ctx context.Context, f Facts) []Check {
	projects := f.Status.Projects
	f.Status.Projects = nil // what is known of them is among what comes of a closer look
	d := &diagnosis{facts: f, found: Known(f)}
	d.checkService()
	d.checkHooks(ctx)
	d.checkProjects(ctx, projects)

	all := d.found
	for _, name := range names {
		if !slices.ContainsFunc(d.found, func(c Check) bool { return c.Name == name }) {
			all = append(all, Check{Name: name, Status: OK, Detail: "nothing is wrong"})
		}
	}
	if f.Start != "" {
		all = append(all, checkHere(f.Start))
	}
	return sorted(append(all, SelfTest(ctx, f)))
}

func sorted(checks []Check) []Check {
	order := []Level{Failure, Warning, Skipped, OK}
	slices.SortStableFunc(checks, func(a, b Check) int {
		return cmp.Compare(slices.Index(order, a.Status), slices.Index(order, b.Status))
	})
	return checks
}

// diagnosis is an examination under way.
type diagnosis struct {
	facts   Facts
	project string  // that it is about; "" if it is about none
	found   []Check // what is wrong
}

func (d *diagnosis) find(name string, status Level, what, mend string) {
	d.found = append(d.found, Check{name, status, what, mend, d.project})
}

func (d *diagnosis) checkAgent() {
	switch s := d.facts.Status; {
	case !s.Running:
		d.find("agent.running", Failure, "no agent is running: drops wait until one does, or until a drain", ToStart(d.facts.Service))
	case s.Problem != "" && d.facts.ConfigErr == nil:
		d.find("agent.running", Failure, s.Problem+"; fix it, and have the agent read it again", fmt.Sprintf("kill -HUP %d", s.PID))
	case s.Version != d.facts.Version:
		mend := d.facts.toRestart()
		if s.Service && !place.IsThis(d.facts.Service.Binary) {
			mend = "agent install" // it has the service start this program, and restarts it
		}
		d.find("agent.version", Warning, fmt.Sprintf("the running agent is version %s, this program is version %s", s.Version, d.facts.Version), mend)
	}
}

// ToStart is the command that starts an agent where the service is so.
func ToStart(s service.State) string {
	switch {
	case s.Installed:
		return "agent start"
	case s.Reach != nil:
		return "agent run"
	}
	return "agent install"
}

// toRestart is how the agent is started again.
func (f Facts) toRestart() string {
	if f.Status.Service {
		return "agent restart"
	}
	// It ends within two seconds.
	return fmt.Sprintf("kill %d && sleep 3 && %s", f.Status.PID, ToStart(f.Service))
}

func (d *diagnosis) checkService() {
	s := d.facts.Service
	_, missing := os.Stat(s.Binary)
	switch {
	case s.Reach != nil:
		why, _, _ := strings.Cut(s.Reach.Error(), "\n")
		d.find("service", Warning, why+"; 'agent install' says how the agent runs without one", "")
		return
	case !s.Installed:
		d.find("service", Warning, "the agent is not installed as a service: it does not start by itself", "agent install")
		return
	case missing != nil:
		d.find("service", Failure, "there is no program where it starts one: "+s.Binary, "agent install")
	case !place.IsThis(s.Binary):
		d.find("service", Warning, s.Binary+", which it starts, is not this program, but another version or somebody else's", "agent install")
	}
	if !s.Running {
		d.find("service", Failure, "not running: "+s.Detail+"; "+s.Logs+" shows why", "agent start")
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
	hooks.Outdated: " is connected, but its hooks, or what they run, are not complete or not of this version",
	hooks.Gone:     " was connected, but somebody else has taken its hooks out again",
}

// checkHooks checks the settings of tools, but waits no longer for them than for
// a project, since settings of projects are among them.
func (d *diagnosis) checkHooks(ctx context.Context) {
	h, ok := patience.Within(ctx, limit, d.facts.Hooks)
	if !ok {
		d.find("hooks", Failure, fmt.Sprintf("no answer within %v from the settings of the user, or of a project that has hooks", limit), "agent hooks list")
	}
	for _, c := range h.Connections {
		d.project = c.Project
		where := c.Tool.Name
		if c.Project != "" {
			where += " --project " + quote.Shell(c.Project)
		}
		if c.Doubled != "" {
			d.find("hooks", Warning, c.Doubled, "")
		}
		last := h.Last[c.Tool.Name]
		switch what, wrong := wrongHooks[c.State]; {
		case c.Err != nil:
			d.find("hooks", Warning, c.Tool.Title+"'s settings cannot be read: "+c.Err.Error()+"; mend the file, then connect it again", "agent hooks install "+where)
		case wrong:
			d.find("hooks", Warning, c.Tool.Title+what, "agent hooks install "+where)
		case c.Off != "":
			d.find("hooks", Warning, c.Tool.Title+" is connected, but does not run the hooks: "+c.Off+"; change that, or disconnect it: agent hooks uninstall "+where, "")
		case !last.IsZero():
			d.find("hooks", OK, c.Tool.Title+" is connected, and its last signal came at "+last.Format(time.DateTime), "")
		case c.Tool.Here():
			d.find("hooks", Warning, c.Tool.Title+" is connected, but no signal of it has come yet; use it once, then look again", "agent hooks list")
		}
	}
	d.project = ""
}
