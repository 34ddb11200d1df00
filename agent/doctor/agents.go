package doctor

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"spoolagent/agent"
	"spoolagent/agent/status"
	"spoolagent/internal/quote"
)

func (d *diagnosis) checkAgents() {
	agents, leftovers, err := status.Leftovers(d.facts.StateDir)
	if err != nil {
		d.add("agent.running", Failure, "ls -la "+quote.Shell(d.facts.StateDir), "%v", err)
		return
	}
	d.agents, d.server = agents, serverOf(agents)
	s := d.server
	switch {
	case s == nil && len(agents) > 0:
		d.add("agent.running", Warning, d.facts.toStart(), "only %s run, each for the projects it was given; nobody serves the others", count(len(agents), "agent"))
	case s == nil:
		d.add("agent.running", Failure, d.facts.toStart(), "no agent is running: drops wait until one does, or until a drain")
	case isStopped(s.PID):
		d.add("agent.running", Failure, fmt.Sprintf("kill -CONT %d", s.PID), "the agent (pid %d) has been stopped by a signal, and does nothing", s.PID)
	default:
		d.add("agent.running", OK, "", "pid %d, version %s, since %s", s.PID, s.Version, s.StartedAt.Local().Format(time.DateTime))
	}
	if s != nil {
		if s.Version == d.facts.Version {
			d.add("agent.version", OK, "", "the agent and this program are both version %s", s.Version)
		} else {
			d.add("agent.version", Warning, d.facts.toRestart(*s), "the running agent is version %s, this program is version %s", s.Version, d.facts.Version)
		}
		if s.Problem != "" {
			d.add("agent.problem", Failure, fmt.Sprintf("mend the configuration, then: kill -HUP %d", s.PID), "%s", s.Problem)
		}
	}
	d.checkRivals()
	if len(leftovers) > 0 {
		d.add("agent.leftovers", Warning, "agent status", "%s of agents that are dead: %s", count(len(leftovers), "file"), some(leftovers))
	}
}

// serverOf is the agent for all projects of this user, or nil.
func serverOf(agents []agent.Info) *agent.Info {
	for i, a := range agents {
		if a.User && !waits(a) {
			return &agents[i]
		}
	}
	return nil
}

// waits reports whether an agent for all projects waits for another to end.
func waits(a agent.Info) bool { return a.User && strings.HasPrefix(a.Problem, "waiting") }

// checkRivals looks for agents that are in each other's way.
func (d *diagnosis) checkRivals() {
	var waiting, held []string
	for _, a := range d.agents {
		if waits(a) {
			waiting = append(waiting, fmt.Sprintf("pid %d", a.PID))
		}
		for _, p := range a.Projects {
			if p.State == agent.StateHeld {
				held = append(held, p.Error)
			}
		}
	}
	mend := ""
	for _, a := range d.agents {
		if !a.Service {
			mend = fmt.Sprintf("kill %d, if that agent is not wanted", a.PID)
		}
	}
	switch {
	case len(waiting) > 0:
		d.add("agent.rivals", Warning, mend, "there are two agents for all projects of this user; one waits for the other to end: %s", some(waiting))
	case len(held) > 0:
		d.add("agent.rivals", Warning, mend, "%s by another agent: %s", count(len(held), "project is served", "projects are served"), some(held))
	case len(d.agents) > 0:
		d.add("agent.rivals", OK, "", "%s, none in another's way", count(len(d.agents), "agent"))
	}
}

// toStart is how an agent is started here.
func (f Facts) toStart() string {
	switch s := f.Service; {
	case s.Absent != "":
		return "agent run"
	case s.Installed:
		return "agent start"
	}
	return "agent install"
}

// toRestart is how an agent is started again.
func (f Facts) toRestart(a agent.Info) string {
	if a.Service {
		return "agent restart"
	}
	return fmt.Sprintf("kill %d, and start it again: %s", a.PID, f.toStart())
}

func (d *diagnosis) checkService() {
	s := d.facts.Service
	switch {
	case s.Absent != "":
		d.add("service.installed", Warning, "", "%s", s.Absent)
		return
	case s.Reach != "" && !s.Installed:
		d.add("service.installed", Warning, "", "cannot be asked: %s", s.Reach)
		return
	case !s.Installed:
		d.add("service.installed", Warning, "agent install", "the agent is not installed as a service: it does not start by itself")
		return
	}
	d.add("service.installed", OK, "", "%s", s.File)
	d.checkServiceBinary()
	if s.Reach != "" {
		d.add("service.enabled", Skipped, "", "cannot be asked: %s", s.Reach)
		return
	}
	if s.Enabled {
		d.add("service.enabled", OK, "", "it starts at login")
	} else {
		d.add("service.enabled", Warning, "agent install", "it does not start by itself at login")
	}
	if s.Running {
		d.add("service.running", OK, "", "%s", cmp.Or(s.Detail, "running"))
	} else {
		d.add("service.running", Failure, "agent start; see why it ended: "+s.Logs, "not running: %s", s.Detail)
	}
	if s.LingerOff {
		d.add("service.linger", Warning, "agent install --linger", "it ends when you log out, and starts at the next login")
	}
}

// checkServiceBinary compares what the service starts with this program.
func (d *diagnosis) checkServiceBinary() {
	s := d.facts.Service
	theirs, err := os.Stat(s.Binary)
	switch {
	case s.Binary == "":
		d.add("service.binary", Warning, "agent install", "%s does not say what it starts", s.File)
		return
	case err != nil:
		d.add("service.binary", Failure, "agent install", "what it starts cannot be started: %v", err)
		return
	case !theirs.Mode().IsRegular() || !executable(theirs):
		d.add("service.binary", Failure, "agent install", "what it starts is no program: %s", s.Binary)
		return
	}
	if ours, err := os.Stat(d.facts.Binary); err == nil && !os.SameFile(ours, theirs) {
		d.add("service.binary", Warning, "agent install, to have it start this program", "it starts %s, but this program is %s", s.Binary, d.facts.Binary)
		return
	}
	d.add("service.binary", OK, "", "%s", s.Binary)
}

func (d *diagnosis) checkConfig() {
	switch c := d.facts.Config; {
	case c.Err != nil:
		d.add("config", Failure, "edit the file; 'agent print config' shows all settings", "%v", c.Err)
	case c.There:
		d.add("config", OK, "", "%s", c.File)
	default:
		d.add("config", OK, "", "there is none, so the defaults hold (it would be %s)", c.File)
	}
}

// count is a number with its noun, of which the plural has an s unless it is
// given.
func count(n int, noun string, plural ...string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case len(plural) > 0:
		return fmt.Sprintf("%d %s", n, plural[0])
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// some is the first few of a list.
func some(all []string) string {
	if len(all) <= manyAlike {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:manyAlike], ", "), len(all)-manyAlike)
}
