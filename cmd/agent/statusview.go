package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"spoolagent/agent"
	"spoolagent/agent/status"
	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

const (
	// fewProjects is up to how many projects have their ledgers shown.
	fewProjects = 3
	// manyAlike is how many projects are named of those that have the same
	// note; there may be thousands.
	manyAlike = 5
	// manyNotes is how many different notes are shown.
	manyNotes = 12
)

// statusView is a report for people, in three parts of which the latter two may
// have to be cut. All text is safe to print.
type statusView struct {
	head  []string
	table []string // its first line has the columns' names; none if there are no projects
	notes []string
}

// printReport prints a report for people. Where it is read on a terminal, paths
// are held to its width.
func printReport(f *os.File, s *statusReport, now time.Time) error {
	width, _ := sizeOf(f)
	v := viewOf(s, width, painter(inColour(f)), now)
	out := bufio.NewWriter(f)
	for _, line := range v.lines() {
		fmt.Fprintln(out, line)
	}
	return out.Flush()
}

func (v statusView) lines() []string {
	lines := slices.Clone(v.head)
	if len(v.table) > 0 {
		lines = append(append(lines, ""), v.table...)
	}
	lines = append(lines, v.notes...)
	for i, line := range lines {
		lines[i] = named(line)
	}
	return lines
}

// cut is lines, but at most height of them. Notes may have half of the space
// below the head, the table has the rest, and what was cut is told.
func (v statusView) cut(height int) []string {
	if len(v.head)+1+len(v.table)+len(v.notes) <= height {
		return v.lines()
	}
	space := height - len(v.head) - 1
	forNotes := min(len(v.notes), max(space/2, space-len(v.table)))
	notes := shortened(v.notes, forNotes, "  ... (without --watch, all of it)")
	table := shortened(v.table, space-len(notes), "")
	if left := len(v.table) - len(table) + 1; len(table) > 1 && left > 1 {
		table[len(table)-1] = fmt.Sprintf("... and %d projects more", left)
	}
	lines := statusView{v.head, table, notes}.lines()
	return lines[:min(len(lines), max(height, 0))]
}

// shortened is at most n lines, of which the last is this one if some are cut.
func shortened(lines []string, n int, last string) []string {
	if n = max(n, 0); len(lines) <= n {
		return lines
	}
	lines = slices.Clone(lines[:n])
	if n > 0 {
		lines[n-1] = last
	}
	return lines
}

// viewOf lays a report out. Width is the terminal's, 0 where there is none.
func viewOf(s *statusReport, width int, p painter, now time.Time) statusView {
	v := statusView{head: s.head(p)}
	if len(s.Projects) == 0 {
		return v
	}
	projects := slices.Clone(s.Projects)
	slices.SortStableFunc(projects, func(a, b status.ProjectStatus) int { return cmp.Compare(urgency(a), urgency(b)) })
	v.table = tableOf(projects, width, p, now)
	v.notes = notesOf(projects, width, p)
	return v
}

// urgency is less for what should be seen first.
func urgency(p status.ProjectStatus) int {
	switch {
	case p.NeedsAttention():
		return 0
	case p.State == agent.StateHeld, p.State == agent.StatePolling:
		return 1
	}
	return 2
}

func (s *statusReport) head(p painter) []string {
	var lines []string
	if s.Running {
		lines = append(lines, fmt.Sprintf("agent %s, pid %d, version %s, since %s",
			p.paint("running", green), s.PID, safe(s.Version), moment(s.StartedAt)))
	} else {
		none := p.paint("no agent is running", red)
		switch {
		case s.Service != nil && s.Service.Installed:
			none += "; 'agent start' starts the service"
		case s.Service != nil && !s.Service.none && s.Service.Error == "":
			none += "; 'agent install' has one run from now on, 'agent run' runs one here"
		default:
			none += "; start one with 'agent run'"
		}
		lines = append(lines, none)
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
	for i, err := range s.strays {
		if i == manyAlike {
			lines = append(lines, fmt.Sprintf("  and %d more like this", len(s.strays)-i))
			break
		}
		lines = append(lines, p.paint("note:", yellow)+" "+oneLine(err)+"; 'agent doctor' says more")
	}
	if len(s.Projects) == 0 {
		lines = append(lines, "no project is registered or configured; 'agent add DIR' has one served, and so does its first hook")
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
	table := [][]cell{{{text: "PROJECT"}, {text: "STATE"}, {text: "QUEUED", right: true}, {text: "INCOMING", right: true},
		{text: "REPLIES", right: true}, {text: "REJECTED", right: true}, {text: "LAST FOLD"}}}
	for i := range table[0] {
		table[0][i].colour = bold
	}
	for _, pr := range projects {
		queued := strconv.Itoa(pr.Queued)
		if pr.Cap > 0 {
			queued += "/" + strconv.Itoa(pr.Cap)
		}
		state, shade := safe(string(pr.State)), stateColours[pr.State]
		if pr.Off {
			state += ", off"
		}
		table = append(table, []cell{
			{text: place(pr.Path)},
			{text: state, colour: shade},
			{text: queued, right: true},
			{text: strconv.Itoa(pr.Incoming), right: true},
			{text: strconv.Itoa(pr.Replies), right: true},
			{text: strconv.Itoa(pr.Rejected), right: true},
			{text: age(pr.LastFoldAt, now)},
		})
	}
	// What is the same at the next look must not move: the columns that change
	// have room for what they usually have.
	widths := columnWidths(table)
	for i, least := range map[int]int{1: len("serving"), 2: len("100/100")} {
		widths[i] = max(widths[i], least)
	}
	if width > 0 {
		const leastPath = 16
		others := 0
		for _, w := range widths[1:] {
			others += columnGap + w
		}
		widths[0] = min(widths[0], max(width-others, leastPath))
		for _, row := range table[1:] {
			row[0].text = shortPath(row[0].text, widths[0])
		}
	}
	return layTable(table, widths, p)
}

var stateColours = map[agent.State]colour{
	agent.StateServing: green,
	agent.StatePolling: yellow,
	agent.StateHeld:    yellow,
	agent.StateMissing: red,
	agent.StateError:   red,
	agent.StateStopped: red,
}

// note is what the table does not say, of all projects of which it is the same.
type note struct {
	label, text, advice string // of the first project
	colour              colour
	paths               []string
}

// noteKey is what makes two notes the same: their words, with the project's
// path taken out.
type noteKey struct{ label, text, advice string }

type noteBook struct {
	notes []*note
	byKey map[noteKey]*note
}

func (b *noteBook) add(path, label, text, advice string, c colour) {
	key := noteKey{label, withoutPath(text, path), withoutPath(advice, path)}
	n := b.byKey[key]
	if n == nil {
		n = &note{label: label, text: text, advice: advice, colour: c}
		b.byKey[key] = n
		b.notes = append(b.notes, n)
	}
	n.paths = append(n.paths, path)
}

// withoutPath has DIR in place of a project's path.
func withoutPath(text, path string) string {
	if len(path) < 2 {
		return text
	}
	return strings.NewReplacer(quote.Shell(path), "DIR", path, "DIR").Replace(text)
}

// moreRoom is what keeps signals from being evicted.
const moreRoom = "connect a consumer that drains more often (agent drain --follow), or raise cap in the configuration (agent print config)"

func notesOf(projects []status.ProjectStatus, width int, p painter) (lines []string) {
	book := noteBook{byKey: map[noteKey]*note{}}
	for _, pr := range projects {
		if pr.Error != "" {
			label := string(pr.State)
			if pr.Uncounted && !pr.State.NeedsAttention() {
				label = "not counted"
			}
			book.add(pr.Path, label, pr.Error, pr.Advice, stateColours[pr.State])
		}
	}
	for _, pr := range projects {
		if pr.Off {
			book.add(pr.Path, "off", "hooks and 'agent drop' store nothing", "agent on "+quote.Shell(pr.Path), yellow)
		}
		if n := pr.EvictedSinceDrain; n > 0 {
			book.add(pr.Path, "evicted", fmt.Sprintf("%d signals since the last drain, for the queue keeps %d", n, pr.Cap), moreRoom, yellow)
		}
		if pr.Rejected > 0 {
			book.add(pr.Path, "rejected", "files and reasons are in "+filepath.Join(pr.Path, spoolfiles.DirName, "rejected"), "", yellow)
		}
	}
	for i, n := range book.notes {
		lines = append(lines, "")
		if i == manyNotes {
			lines = append(lines, fmt.Sprintf("... and %d more notes, which --json has", len(book.notes)-i))
			break
		}
		lines = append(lines, n.lines(width, p)...)
	}
	if len(projects) <= fewProjects {
		for _, pr := range projects {
			if pr.Uncounted && pr.Ledger == (status.Totals{}) {
				continue // it was not read, which is not to say that it has nothing
			}
			lines = append(lines, "", place(pr.Path), "  "+ledger(pr))
		}
	}
	return lines
}

func (n *note) lines(width int, p painter) []string {
	text, advice := n.text, n.advice
	if len(n.paths) > 1 {
		text, advice = withoutPath(text, n.paths[0]), withoutPath(advice, n.paths[0])
	}
	lines := wrap(safe(n.label)+": "+safe(text), width, "  ")
	lines[0] = strings.Replace(lines[0], safe(n.label)+":", p.paint(safe(n.label)+":", n.colour), 1)
	for i, path := range n.paths {
		if i == manyAlike && len(n.paths) > manyAlike+1 {
			lines = append(lines, fmt.Sprintf("  and %d more like this", len(n.paths)-i))
			break
		}
		name := place(path)
		if width > 0 {
			name = shortPath(name, width-len("  "))
		}
		lines = append(lines, "  "+name)
	}
	if advice != "" {
		lines = append(lines, wrap("  do: "+safe(advice), width, "      ")...)
	}
	return lines
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

// place is a path for people: short, and safe to print.
func place(path string) string {
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		if rest, ok := strings.CutPrefix(path, home); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
			path = "~" + rest
		}
	}
	return safe(path)
}

func moment(rfc3339 string) string {
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return safe(rfc3339)
	}
	return t.Local().Format(time.DateTime)
}

func age(rfc3339 string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return "never"
	}
	switch d := max(now.Sub(t), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}
