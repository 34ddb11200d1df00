package doctor

import (
	"context"
	"time"
)

// checkHooks looks at the tools' settings, but waits no longer than for a
// project, since those of projects are among them.
func (d *diagnosis) checkHooks(ctx context.Context) {
	answer := make(chan Hooks, 1)
	go func() { answer <- d.facts.Hooks(ctx) }()
	select {
	case h := <-answer:
		d.tellOfTools(h.Tools)
		d.tellOfScripts(h.Scripts)
	case <-ctx.Done():
		d.add("hooks", Skipped, "", "interrupted")
	case <-time.After(spoolPatience):
		d.add("hooks", Failure, "agent hooks list, in each project that has hooks", "not looked at: no answer within %v", spoolPatience)
	}
}

func (d *diagnosis) tellOfTools(tools []Tool) {
	told := len(d.checks)
	inProjects, sound := map[string]int{}, map[string]int{} // how many, by tool
	var findings []finding
	for _, t := range tools {
		if t.Project == "" {
			continue
		}
		inProjects[t.Name]++
		if what := t.wrong(); what == "" {
			sound[t.Name]++
		} else {
			findings = append(findings, finding{name: "hooks." + t.Name, status: Warning, project: t.Project,
				what: t.Title + " " + what, mend: "agent hooks install " + t.Name + " --project " + dir})
		}
	}
	for _, t := range tools {
		if t.Project != "" {
			continue
		}
		name, install := "hooks."+t.Name, "agent hooks install "+t.Name
		switch what := t.wrong(); {
		case t.Err != nil && t.Here:
			d.add(name, Warning, "mend the file, then: "+install, "%s %s", t.Title, what)
		case t.Err != nil:
		case what != "":
			d.add(name, Warning, install, "%s %s", t.Title, what)
		case t.Connected == "yes":
			d.add(name, OK, "", "%s is connected", t.Title)
		case sound[t.Name] > 0:
			d.add(name, OK, "", "%s is connected in %s", t.Title, count(sound[t.Name], "project"))
		case t.Here && !t.Single && inProjects[t.Name] == 0:
			d.add(name, Warning, install, "%s is here, but not connected: it leaves no signals", t.Title)
		}
	}
	d.checks = append(d.checks, group(findings)...)
	if len(d.checks) == told {
		d.add("hooks", Skipped, "", "no AI tool was found here")
	}
}

// wrong is what is wrong with the hooks of a tool that is connected, or might
// be; empty if nothing.
func (t Tool) wrong() string {
	switch {
	case t.Err != nil:
		return "cannot be looked at: " + t.Err.Error()
	case t.Connected == "partly":
		return "is connected, but its hooks are not complete"
	case t.Connected == "outdated":
		return "is connected, but its hooks are not those of this version"
	}
	return ""
}

func (d *diagnosis) tellOfScripts(scripts []Script) {
	const mend = "agent hooks install TOOL, for any tool that is connected"
	for _, s := range scripts {
		switch s.State {
		case "no":
			d.add("hooks.scripts", Failure, mend, "%s is missing: the hooks leave no signals", s.File)
		case "outdated":
			d.add("hooks.scripts", Warning, mend, "%s is not that of this version", s.File)
		default:
			d.add("hooks.scripts", OK, "", "%s", s.File)
		}
	}
}
