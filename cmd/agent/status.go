package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/agent/doctor"
	"spoolagent/agent/status"
	"spoolagent/queue"
	"spoolagent/service"
)

func statusCommand(o *options) *cobra.Command {
	var asJSON, watched bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "status [--json] [--watch]",
		Short: "Show how things are with the agent and its projects",
		Long: `Shows what needs attention, then every project that is registered or configured,
with --project only that one, as counted on disk. HOUR is how many signals came
in since the full hour, DAY in that hour and the 23 before, DRAINED when they were
last taken. With --watch it goes on: on a terminal in place, elsewhere one report
after another, until interrupted.

Exit status 3 says that no agent serves any of these projects, 1 that something
needs attention: a project that is missing or in error, or cannot be counted,
or a configuration that is refused.`,
		Example: `  agent status --json --project . | jq .projects[0].queued`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if cmd.Flags().Changed("interval") && (!watched || interval < leastInterval) {
				return usage("--interval goes with --watch, and must be at least %v", leastInterval)
			}
			for last := error(nil); ; {
				f, err := o.facts(ctx)
				switch {
				case ctx.Err() != nil && watched:
					return last
				case err != nil:
					return err
				case asJSON:
					err = printJSON(struct {
						status.Status
						Service service.State `json:"service"`
					}{f.Status, f.Service})
				default:
					err = o.showStatus(f, watched)
				}
				last = exitOf(f)
				if f.ConfigErr != nil && !asJSON {
					last = &exit{status: exitFailed} // it has been said
				}
				if err != nil || !watched {
					return cmp.Or(err, last)
				}
				select {
				case <-ctx.Done():
				case <-time.After(interval):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&watched, "watch", false, "look again and again")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "with --watch, look every `TIME`")
	return cmd
}

// leastInterval keeps a slip of the finger from occupying a processor.
const leastInterval = 50 * time.Millisecond

// exitOf is the exit status that the facts ask for.
func exitOf(f doctor.Facts) error {
	switch {
	case f.ConfigErr != nil:
		return f.ConfigErr
	case !f.Status.Running || len(f.Status.Projects) > 0 && unserved(f.Status):
		return &exit{status: exitNoAgent}
	case f.Status.NeedsAttention():
		return &exit{status: exitFailed}
	}
	return nil
}

// unserved reports whether no agent serves any of the projects.
func unserved(s status.Status) bool {
	return !slices.ContainsFunc(s.Projects, func(p status.ProjectStatus) bool { return p.State != agent.StateStopped })
}

// showStatus prints the facts for people. On a terminal, with again, they take the
// place of what is there, and what it has no lines for is left out.
func (o *options) showStatus(f doctor.Facts, again bool) error {
	pg := newPage(os.Stdout)
	pg.status(f, len(o.projects) > 0, time.Now())
	if !again {
		return pg.print("")
	}
	_, height := terminalSize(os.Stdout)
	if height == 0 || os.Getenv("TERM") == "dumb" {
		pg.lines = append(pg.lines, "")
		return pg.print("")
	}
	pg.cut(height - 1)
	return pg.print("\x1b[H\x1b[2J")
}

// moreRoom is what keeps signals from being evicted.
const moreRoom = doctor.MoreRoom

// fewProjects is up to how many projects are shown more closely.
const fewProjects = 3

// status shows what needs attention, then the projects. With only, it is about one.
func (pg *page) status(f doctor.Facts, only bool, now time.Time) {
	s := f.Status
	if !s.Running {
		pg.say(red, "no agent is running", "; to start one: "+doctor.ToStart(f.Service))
	} else {
		since, _ := time.Parse(time.RFC3339, s.StartedAt)
		pg.say(green, "agent running", fmt.Sprintf(", pid %d, version %s, since %s", s.PID, safe(s.Version), since.Local().Format(time.DateTime)))
	}
	if !only {
		pg.service(f.Service)
	} else if s.Running && unserved(s) {
		pg.say(yellow, "it does not serve this project", "; 'agent add' has it served")
	}
	pg.checks(slices.DeleteFunc(doctor.Known(f), func(c doctor.Check) bool { return c.Name == "agent.running" && !s.Running }))
	if len(s.Projects) == 0 {
		pg.say("", "", "no project is registered or configured; 'agent add DIR' has one served, and so does its first hook")
		return
	}
	projects := slices.Clone(s.Projects)
	slices.SortStableFunc(projects, func(a, b status.ProjectStatus) int {
		return cmp.Compare(urgency(b), urgency(a))
	})
	pg.lines = append(pg.lines, "")
	pg.projects(projects, now)
	if len(projects) > fewProjects {
		return
	}
	for _, p := range projects {
		// What was not read is not to be told as 0.
		if p.Uncounted && p.Ledger == (status.Totals{}) {
			continue
		}
		pg.lines = append(pg.lines, "")
		pg.say(bold, place(p.Path), "")
		pg.activity(p.Activity, now)
		pg.say("", "", "  "+ledger(p))
		if p.Replies > 0 {
			pg.say("", "", fmt.Sprintf("  drained and not acknowledged: %d batches, which a consumer has, or which return after reply_ttl", p.Replies))
		}
	}
}

// service shows how the service is, in one line.
func (pg *page) service(s service.State) {
	shade, line := green, cmp.Or(s.Detail, map[bool]string{true: "running", false: "not running"}[s.Running])
	switch {
	case !s.Installed && s.Reach != nil:
		shade, line = "", "none can be asked for here; 'agent doctor' says why"
	case !s.Installed:
		shade, line = "", "not installed; 'agent install' does it"
	case s.Reach != nil:
		why, _, _ := strings.Cut(s.Reach.Error(), "\n")
		shade, line = yellow, "cannot be asked: "+why
	case !s.Running:
		shade = red
	case !s.Enabled:
		shade, line = yellow, line+", but not at login; 'agent install' changes that"
	}
	if s.Logs != "" && s.Installed {
		line += "; log: " + s.Logs
	}
	pg.say(shade, "service:", " "+safe(line))
}

// urgency is how much a project needs a person.
func urgency(p status.ProjectStatus) int {
	switch {
	case p.NeedsAttention():
		return 2
	case p.State == agent.StateHeld, p.State == agent.StatePolling:
		return 1
	}
	return 0
}

// projects shows a line for each project, and one above them.
func (pg *page) projects(projects []status.ProjectStatus, now time.Time) {
	room, bars := pg.width-len("  serving  100/100  HOUR  1000  DRAINED"), pg.terminal && pg.width >= 80
	if bars {
		room -= len("  ") + 24
	}
	rows := []row{{bold, slices.Concat([]string{"PROJECT", "STATE", "QUEUED"}, hoursHead(bars), []string{"DRAINED"})}}
	for _, p := range projects {
		queued, state := strconv.Itoa(p.Queued), string(p.State)
		if p.Cap > 0 {
			queued += "/" + strconv.Itoa(p.Cap)
		}
		if p.Off {
			state = "off"
		}
		var all [24]int
		for _, a := range p.Activity {
			for i, n := range a.Hours {
				all[i] += n
			}
		}
		drained := strings.TrimSuffix(age(p.LastDrainAt, now), " ago")
		rows = append(rows, row{[]colour{"", yellow, red}[urgency(p)], slices.Concat(
			[]string{shortened(place(p.Path), max(room, 15)), safe(state), queued}, hoursCells(all, bars), []string{drained})})
	}
	pg.lines = append(pg.lines, layTable(rows, pg.painter)...)
}

// activity shows what came in from each source.
func (pg *page) activity(a queue.Activity, now time.Time) {
	rows := []row{{"", slices.Concat([]string{"  FROM"}, hoursHead(pg.terminal), []string{"LAST"})}}
	for _, source := range slices.Sorted(maps.Keys(a)) {
		rows = append(rows, row{"", slices.Concat([]string{"  " + shortened(safe(cmp.Or(source, "others")), 8)},
			hoursCells(a[source].Hours, pg.terminal), []string{age(a[source].Last.Format(time.RFC3339), now)})})
	}
	if len(a) > 0 {
		pg.lines = append(pg.lines, layTable(rows, pg.painter)...)
	}
}

// hoursHead is what stands above hoursCells.
func hoursHead(bars bool) []string {
	if bars {
		return []string{"LAST 24 HOURS", "HOUR", "DAY"}
	}
	return []string{"HOUR", "DAY"}
}

// hoursCells is how many signals came in: with bars as one for each hour, the last
// one at the right, and in the last hour and day.
func hoursCells(hours [24]int, bars bool) (cells []string) {
	most, sum := slices.Max(hours[:]), 0
	var line strings.Builder
	for _, n := range slices.Backward(hours[:]) {
		sum += n
		height := 0.0
		if n > 0 {
			height = math.Ceil(7 * float64(n) / float64(most))
		}
		line.WriteRune([]rune("▁▂▃▄▅▆▇█")[int(height)])
	}
	if bars {
		cells = []string{line.String()}
	}
	return append(cells, strconv.Itoa(hours[0]), strconv.Itoa(sum))
}

// ledger is the ledger's equation. It holds at any quiet moment.
func ledger(p status.ProjectStatus) string {
	l, equals := p.Ledger, "="
	if l.Folded+l.Returned+l.External != int64(p.Queued)+l.Drained+l.Evicted {
		equals = "!="
	}
	return fmt.Sprintf("ledger: folded %d + returned %d + external %d %s queued %d + drained %d + evicted %d",
		l.Folded, l.Returned, l.External, equals, p.Queued, l.Drained, l.Evicted)
}
