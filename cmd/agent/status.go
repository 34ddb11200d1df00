package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"spoolagent/agent"
	"spoolagent/agent/status"
	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

func statusCommand(o *options) *cobra.Command {
	var asJSON, watched bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "status [--json] [--watch]",
		Short: "Show how things are with the agent and its projects",
		Long: `Shows every project that is registered, configured, or served by a running agent
of this user, with --project only that one; what needs attention comes first.
The numbers are counted on disk, agent or not. With --watch it goes on doing so:
on a terminal in place, elsewhere one report after another, until interrupted.

Exit status 3 says that no agent serves any of these projects, 1 that something
needs attention: a project that is missing or in error, or cannot be counted,
or a configuration that is refused.`,
		Example: `  agent status --json --project . | jq .projects[0].queued`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			for last := (*statusReport)(nil); ; {
				s, err := o.status(ctx)
				switch {
				case ctx.Err() != nil && last != nil:
					return last.exit()
				case err != nil:
					return err
				case asJSON:
					err = printJSON(s)
				default:
					err = printReport(os.Stdout, s, time.Now(), watched)
				}
				if err != nil {
					return err
				}
				if !watched {
					return s.exit()
				}
				last = s
				select {
				case <-ctx.Done():
				// A slip of the finger must not occupy a processor.
				case <-time.After(max(interval, 50*time.Millisecond)):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&watched, "watch", false, "look again and again")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "with --watch, look every `TIME`")
	return cmd
}

// statusReport is what status shows.
type statusReport struct {
	status.Status
	Service *serviceFacts `json:"service,omitempty"` // nil: not asked

	strays  []error // what is wrong with the registry
	refused error   // why the configuration does not count
}

// status looks at everything once.
func (o *options) status(ctx context.Context) (*statusReport, error) {
	only := len(o.projects) > 0
	asked := func() *serviceFacts { return nil }
	if !only {
		asked = askService(ctx)
	}
	about, err := o.subject()
	if err != nil {
		return nil, err
	}
	projects, files := slices.Clone(about.projects), map[string]string{}
	if !only {
		if here, err := o.project(); err == nil && isDir(filepath.Join(here, spoolfiles.DirName)) {
			projects = append(projects, here)
		}
		served, _ := foreground(about.state).List()
		for _, e := range served {
			if !slices.Contains(projects, e.Path) {
				projects = append(projects, e.Path)
				files[e.Path] = e.File
			}
		}
		slices.Sort(projects)
		projects = slices.Compact(projects)
	}
	r, err := status.Report(ctx, status.Config{
		StateDir: about.state,
		Projects: projects,
		Options:  queueOptions(about.config),
		Version:  version(),
	})
	if err != nil {
		return nil, err
	}
	r.Projects = slices.DeleteFunc(r.Projects, func(p status.ProjectStatus) bool {
		file := files[p.Path]
		if file == "" || p.State != agent.StateStopped {
			return false
		}
		os.Remove(file) // the agent was killed
		return true
	})
	if about.refused != nil {
		r.Problem = "configuration refused: " + oneLine(about.refused)
	}
	return &statusReport{r, asked(), about.strays, about.refused}, nil
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// exit is the exit status that the report asks for.
func (s *statusReport) exit() error {
	switch {
	case s.refused != nil:
		return s.refused
	case !s.Running || len(s.Projects) > 0 && !slices.ContainsFunc(s.Projects, func(p status.ProjectStatus) bool { return p.State != agent.StateStopped }):
		return &exit{status: exitNoAgent}
	case s.NeedsAttention():
		return &exit{status: exitFailed}
	}
	return nil
}

const (
	// fewProjects is up to how many projects have their ledgers shown.
	fewProjects = 3
	// manyNotes is how many notes are shown; there may be thousands.
	manyNotes = 12
)

// printReport prints a report for people. Where it is read on a terminal, paths
// are held to its width; with again, it takes the place of what is there, and
// what the terminal has no lines for is left out.
func printReport(f *os.File, s *statusReport, now time.Time, again bool) error {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width, height = 1000, 24
	}
	lines := s.lines(width, painter(inColour(f)), now)
	begin := ""
	if again && onTerminal(f) && os.Getenv("TERM") != "dumb" {
		begin, lines = "\x1b[H\x1b[2J", cut(lines, height-1)
	} else if again {
		lines = append(lines, "")
	}
	_, err = f.WriteString(begin + named(strings.Join(lines, "\n")) + "\n")
	return err
}

// cut is at most height lines, but for one that says that some are cut.
func cut(lines []string, height int) []string {
	if len(lines) <= height {
		return lines
	}
	return append(lines[:max(height-1, 0)], "... (without --watch, all of it)")
}

// lines are the report, what needs attention first. All text is safe to print.
func (s *statusReport) lines(width int, p painter, now time.Time) []string {
	lines := s.head(p)
	if len(s.Projects) == 0 {
		return append(lines, "no project is registered or configured; 'agent add DIR' has one served, and so does its first hook")
	}
	projects := slices.Clone(s.Projects)
	urgency := map[colour]int{red: -2, yellow: -1}
	slices.SortStableFunc(projects, func(a, b status.ProjectStatus) int {
		return cmp.Compare(urgency[colourOf(a)], urgency[colourOf(b)])
	})
	lines = append(append(lines, ""), tableOf(projects, width, p, now)...)
	var notes []string
	for _, pr := range projects {
		notes = append(notes, notesOf(pr, p)...)
	}
	for i, note := range notes {
		if i == manyNotes {
			lines = append(lines, "", fmt.Sprintf("... and %d more notes, which --json has", len(notes)-i))
			break
		}
		lines = append(lines, "", note)
	}
	for _, pr := range projects {
		// What was not read is not to be told as 0.
		if len(projects) <= fewProjects && (!pr.Uncounted || pr.Ledger != (status.Totals{})) {
			lines = append(lines, "", place(pr.Path), "  "+ledger(pr))
		}
	}
	return lines
}

// colourOf is how urgent a project is.
func colourOf(p status.ProjectStatus) colour {
	switch {
	case p.NeedsAttention():
		return red
	case p.State == agent.StateHeld, p.State == agent.StatePolling:
		return yellow
	}
	return ""
}

func (s *statusReport) head(p painter) []string {
	lines := []string{p.paint("no agent is running", red) + " ('agent install', 'agent start' or 'agent run' has one run)"}
	if s.Running {
		since := safe(s.StartedAt)
		if t, err := time.Parse(time.RFC3339, s.StartedAt); err == nil {
			since = t.Local().Format(time.DateTime)
		}
		lines[0] = fmt.Sprintf("agent %s, pid %d, version %s, since %s", p.paint("running", green), s.PID, safe(s.Version), since)
	}
	if s.Service != nil {
		lines = append(lines, "service: "+s.Service.line(p))
	}
	if s.Problem != "" {
		lines = append(lines, p.paint("problem: "+safe(s.Problem), red))
	}
	if s.Running && s.Version != version() {
		how := "stop it and start it again"
		if exe, err := os.Executable(); err == nil && s.Service != nil && exe == s.Service.Binary {
			how = "'agent restart'"
		} else if s.Status.Service {
			how = "'agent install'"
		}
		lines = append(lines, fmt.Sprintf("%s this program is version %s, the running agent is not: %s",
			p.paint("note:", yellow), safe(version()), how))
	}
	if len(s.strays) > 0 {
		lines = append(lines, fmt.Sprintf("%s wrong with the registry: %d, such as %s; see 'agent doctor'",
			p.paint("note:", yellow), len(s.strays), oneLine(s.strays[0])))
	}
	return lines
}

// line is how the service is, in one line.
func (f *serviceFacts) line(p painter) string {
	switch {
	case f.none:
		return "none on this system ('agent doctor' says more)"
	case !f.Installed && f.Error != "":
		return p.paint("unknown", yellow) + ", " + safe(f.Error)
	case !f.Installed:
		return "not installed ('agent install' does it)"
	case f.Error != "":
		return "installed, the rest is " + p.paint("unknown", yellow) + ": " + safe(f.Error)
	}
	line := "enabled"
	if !f.Enabled {
		line = p.paint("not enabled", yellow) + " ('agent install' does it)"
	}
	state := safe(f.Detail)
	if !f.Running {
		state = p.paint(cmp.Or(state, "not running"), red)
	}
	line += ", " + cmp.Or(state, "running")
	if f.Logs != "" {
		line += "; log: " + safe(f.Logs)
	}
	return line
}

// tableOf has a line for each project, and one above them.
func tableOf(projects []status.ProjectStatus, width int, p painter, now time.Time) []string {
	const others = len("  serving  100/100  INCOMING  REPLIES  REJECTED  LAST FOLD")
	rows := []row{{bold, []string{"PROJECT", "STATE", "QUEUED", "INCOMING", "REPLIES", "REJECTED", "LAST FOLD"}}}
	for _, pr := range projects {
		queued, state := strconv.Itoa(pr.Queued), safe(string(pr.State))
		if pr.Cap > 0 {
			queued += "/" + strconv.Itoa(pr.Cap)
		}
		if pr.Off {
			state += ", off"
		}
		rows = append(rows, row{colourOf(pr), []string{shortened(place(pr.Path), max(width-others, 16)), state, queued,
			strconv.Itoa(pr.Incoming), strconv.Itoa(pr.Replies), strconv.Itoa(pr.Rejected), age(pr.LastFoldAt, now)}})
	}
	return layTable(rows, p)
}

// moreRoom is what keeps signals from being evicted.
const moreRoom = "connect a consumer that drains more often (agent drain --follow), or raise cap in the configuration (agent print config)"

// notesOf is what the table does not say of a project, and what to do about it.
func notesOf(pr status.ProjectStatus, p painter) (notes []string) {
	note := func(c colour, label, text, advice string) {
		text = p.paint(safe(label)+":", c) + " " + place(pr.Path) + ": " + safe(text)
		if advice != "" {
			text += "\n  do: " + safe(advice)
		}
		notes = append(notes, text)
	}
	if pr.Error != "" {
		label := string(pr.State)
		if pr.Uncounted && !pr.State.NeedsAttention() {
			label = "not counted"
		}
		note(colourOf(pr), label, pr.Error, pr.Advice)
	}
	if pr.Off {
		note(yellow, "off", "hooks and 'agent drop' store nothing", "agent on "+quote.Shell(pr.Path))
	}
	if n := pr.EvictedSinceDrain; n > 0 {
		note(yellow, "evicted", fmt.Sprintf("%d signals since the last drain, for the queue keeps %d", n, pr.Cap), moreRoom)
	}
	if pr.Rejected > 0 {
		note(yellow, "rejected", "files and reasons are in "+filepath.Join(pr.Path, spoolfiles.DirName, "rejected"), "")
	}
	return notes
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
