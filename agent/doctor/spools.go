package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// spoolsAtOnce is how many projects are looked at at a time.
	spoolsAtOnce = 16
	// spoolPatience is how long one project is waited for.
	spoolPatience = 5 * time.Second
	// spoolsPatience is how long all of them are waited for.
	spoolsPatience = 30 * time.Second
)

// checkSpools looks at every project, and tells what is alike once.
func (d *diagnosis) checkSpools(ctx context.Context) {
	if len(d.facts.Projects) == 0 {
		d.add("projects", Warning, "agent add DIR", "no project is registered or configured")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, spoolsPatience)
	defer cancel()
	reports := make([]spoolReport, len(d.facts.Projects))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(spoolsAtOnce, len(reports)) {
		wg.Go(func() {
			for i := range next {
				reports[i] = d.examine(ctx, d.facts.Projects[i])
			}
		})
	}
	for i := range reports {
		next <- i
	}
	close(next)
	wg.Wait()

	var findings []finding
	devices := map[uint64]bool{}
	if s, err := spaceOf(d.facts.StateDir); err == nil {
		devices[s.device] = true
		findings = append(findings, s.findings(d.facts.StateDir)...)
	}
	seen := map[string]string{} // by what the paths lead to
	for _, r := range reports {
		findings = append(findings, r.findings...)
		if other, ok := seen[r.real]; ok && r.real != "" {
			findings = append(findings, finding{name: "project.names", status: Warning, project: r.project,
				what: "it is served once, for it has another name", which: "is " + other, mend: "agent remove " + dir})
		}
		seen[r.real] = r.project
		if r.space != nil && !devices[r.space.device] {
			devices[r.space.device] = true
			findings = append(findings, r.space.findings(r.project)...)
		}
	}
	wrong := group(findings)
	for _, look := range looks {
		found := false
		for _, c := range wrong {
			if c.Name == look.name {
				d.checks = append(d.checks, c)
				found = true
			}
		}
		if !found {
			d.add(look.name, OK, "", "%s", look.sound)
		}
	}
}

// looks are the checks of projects, in the order in which they are told, and
// what it means that nothing was found.
var looks = [...]struct{ name, sound string }{
	{"project.exists", "all projects are there"},
	{"project.names", "no project has two names"},
	{"spool.answer", "all spools could be looked at"},
	{"spool.owner", "all spools are yours"},
	{"spool.links", "no spool leads elsewhere"},
	{"spool.permissions", "nobody else can read or change a spool"},
	{"spool.git", "no spool is tracked by git"},
	{"spool.strays", "there are only files that belong there"},
	{"spool.drops", "no drop has waited for long"},
	{"spool.requests", "no request has waited for long"},
	{"spool.replies", "no reply has waited for long"},
	{"spool.rejects", "nothing was rejected"},
	{"spool.queue", "all queues can be read, and have only signals"},
	{"spool.ledger", "all ledgers close"},
	{"spool.redo", "no change was left half done"},
	{"spool.filesystem", "all file systems tell of changes"},
	{"spool.clock", "nothing is from the future"},
	{"disk.space", "there is enough"},
	{"disk.inodes", "there are enough"},
}

// spoolReport is what came of the look at one project.
type spoolReport struct {
	project  string
	real     string // its path without links; "" if that is not known
	findings []finding
	space    *space // of its file system; nil if that is not known
}

// examine looks at one project, but waits no longer than it may.
func (d *diagnosis) examine(ctx context.Context, project string) spoolReport {
	ctx, cancel := context.WithTimeout(ctx, spoolPatience)
	defer cancel()
	restart := "agent restart"
	if d.server != nil {
		restart = d.facts.toRestart(*d.server)
	}
	if ctx.Err() == nil {
		done := make(chan spoolReport, 1)
		go func() {
			e := &examiner{facts: &d.facts, restart: restart, report: spoolReport{project: project}}
			e.run(ctx)
			done <- e.report
		}()
		select {
		case r := <-done:
			return r
		case <-ctx.Done():
		}
		// What it was waiting for may have come to an end for the same reason.
		select {
		case r := <-done:
			return r
		case <-time.After(100 * time.Millisecond):
		}
	}
	return spoolReport{project: project, findings: []finding{{
		name: "spool.answer", status: Failure, project: project,
		what: fmt.Sprintf("not looked at: no answer within %v (%v for all)", spoolPatience, spoolsPatience),
		mend: "see whether the file system's server can be reached: ls " + dir,
	}}}
}

const (
	littleBytes  = 100 << 20
	littleInodes = 1000
)

// findings are about too little room. They are told of one path of each file
// system.
func (s space) findings(path string) (all []finding) {
	tell := func(name, what string, free, total, little uint64, show func(uint64) string) {
		if total == 0 {
			return
		}
		// A small file system need not have as much as a large one.
		enough := max(total/100, min(little, total/10))
		f := finding{name: name, project: path, mend: "df -h " + dir + "; df -i " + dir}
		switch {
		case free == 0:
			f.status, f.what = Failure, "there "+what+" left: nothing can be folded, and hooks fail to leave drops"
		case free < enough:
			f.status, f.what = Warning, "hardly any left"
			f.which = fmt.Sprintf("%s of %s", show(free), show(total))
		default:
			return
		}
		all = append(all, f)
	}
	tell("disk.space", "is no space", s.freeBytes, s.bytes, littleBytes, func(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) })
	tell("disk.inodes", "are no inodes", s.freeInodes, s.inodes, littleInodes, func(n uint64) string { return fmt.Sprint(n) })
	return all
}
