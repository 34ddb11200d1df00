package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"spoolagent/agent"
	"spoolagent/agent/registry"
	"spoolagent/internal/quote"
	"spoolagent/queue"
)

// Level says what came of a check.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning" // it works, but somebody should know
	Failure Level = "failure" // something does not work
	Skipped Level = "skipped" // it could not be checked, and Detail says why
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status Level  `json:"status"`
	Detail string `json:"detail"` // in one or more lines; hostile text may be in it
	Mend   string `json:"mend"`   // what to do, mostly a command; "" if nothing

	// Projects are those that it is about, if they have something wrong in
	// common.
	Projects []string `json:"projects,omitempty"`
}

// Subject is what a check is about: its name up to the dot.
func (c Check) Subject() string {
	subject, _, _ := strings.Cut(c.Name, ".")
	return subject
}

// Facts are what the doctor cannot find out by itself.
type Facts struct {
	StateDir string
	Registry registry.Registry
	Version  string        // of this program
	Binary   string        // path of this program
	Projects []string      // that are registered or configured, absolute
	Options  queue.Options // as configured

	Config  Config
	Service Service
	// Hooks tells how the hooks of tools are. It may look into any project.
	Hooks func(ctx context.Context) Hooks
}

// Config is how things are with the configuration file.
type Config struct {
	File  string
	There bool
	Err   error // why it is refused
}

// Service is how things are with the OS service.
type Service struct {
	Absent    string // why there is no such thing on this system; else ""
	Reach     string // why it cannot be asked; else ""
	Manager   string
	Installed bool
	Enabled   bool
	Running   bool
	Detail    string // the manager's own words
	Binary    string // that it starts
	File      string // its definition
	Logs      string // a command that shows its log
	LingerOff bool   // it ends when the user logs out
}

// Hooks is how things are with the hooks of tools.
type Hooks struct {
	Tools   []Tool
	Scripts []Script
}

// Tool is a program whose hooks leave signals: as a user has it, or in a
// project in which it was connected.
type Tool struct {
	Name      string // as 'agent hooks install' takes it
	Title     string
	Project   string // empty: for all of the user's projects
	Here      bool
	Single    bool   // it is connected in single projects only
	Connected string // "yes", "no", "partly" or "outdated"
	Err       error  // why that cannot be told
}

// Script is a file that hooks which are connected run.
type Script struct {
	File  string
	State string // as of a Tool
}

// Examine makes all checks but the self-test. Checks that are about several
// projects come after the others, in an order that stays.
func Examine(ctx context.Context, f Facts) []Check {
	d := &diagnosis{facts: f}
	d.checkAgents()
	d.checkService()
	d.checkConfig()
	d.checkState()
	d.checkHooks(ctx)
	d.checkLimits()
	d.checkSpools(ctx)
	return d.checks
}

// Worst is the worst of what came of the checks.
func Worst(checks []Check) Level {
	worst := OK
	for _, c := range checks {
		if c.Status == Failure || c.Status == Warning && worst == OK {
			worst = c.Status
		}
	}
	return worst
}

// diagnosis is an examination under way.
type diagnosis struct {
	facts  Facts
	agents []agent.Info
	server *agent.Info // the agent of this user; nil if none runs
	checks []Check
}

func (d *diagnosis) add(name string, status Level, mend, detail string, args ...any) {
	d.checks = append(d.checks, Check{Name: name, Status: status, Mend: mend, Detail: oneLine(fmt.Sprintf(detail, args...))})
}

// oneLine keeps a line feed, which may come from a name, from looking like the
// end of a line.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", `\n`) }

// finding is something wrong with one project. In what and mend, dir stands for
// the project's directory.
type finding struct {
	name    string
	status  Level
	what    string // the same for all projects that have it
	which   string // what it is here: a file, a number
	mend    string
	project string
}

// dir stands for a project's directory until it is known whether there are
// several. No path has it in it.
const dir = "\x00"

// manyAlike is how many projects are told one by one in a Check's detail.
const manyAlike = 5

// group makes one Check of all findings that are alike.
func group(findings []finding) []Check {
	type key struct {
		name       string
		status     Level
		what, mend string
	}
	var keys []key
	alike := map[key][]finding{}
	for _, f := range findings {
		k := key{f.name, f.status, f.what, f.mend}
		if alike[k] == nil {
			keys = append(keys, k)
		}
		alike[k] = append(alike[k], f)
	}
	checks := make([]Check, 0, len(keys))
	for _, k := range keys {
		same := alike[k]
		slices.SortFunc(same, func(a, b finding) int { return cmp.Compare(a.project, b.project) })
		c := Check{Name: k.name, Status: k.status}
		inText, inShell := "DIR", "DIR"
		if len(same) == 1 {
			inText, inShell = oneLine(same[0].project), quote.Shell(same[0].project)
		}
		c.Detail = strings.ReplaceAll(k.what, dir, inText)
		c.Mend = strings.ReplaceAll(k.mend, dir, inShell)
		for i, f := range same {
			c.Projects = append(c.Projects, f.project)
			switch {
			case i == manyAlike && len(same) > manyAlike+1:
				c.Detail += fmt.Sprintf("\nand %d more like this", len(same)-i)
			case i < manyAlike || len(same) == manyAlike+1:
				c.Detail += "\n" + f.line()
			}
		}
		checks = append(checks, c)
	}
	slices.SortStableFunc(checks, func(a, b Check) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Detail, b.Detail))
	})
	return checks
}

func (f finding) line() string {
	if f.which == "" {
		return oneLine(f.project)
	}
	return oneLine(f.project + ": " + f.which)
}
