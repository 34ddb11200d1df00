package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"spoolagent/agent/doctor"
	"spoolagent/internal/quote"
)

// safe makes text that came from a disk fit for one line of a terminal.
func safe(s string) string { return quote.Line(s) }

// printJSON prints a value as one line of JSON.
func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// onTerminal reports whether a person reads f.
func onTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// terminalSize is how much fits on f: 0 if that is no terminal.
func terminalSize(f *os.File) (width, height int) {
	if !onTerminal(f) {
		return 0, 0
	}
	width, height, _ = term.GetSize(int(f.Fd()))
	return cmp.Or(width, 80), cmp.Or(height, 24)
}

// inColour reports whether f takes colours, and its reader does.
func inColour(f *os.File) bool {
	return onTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

type colour string

const (
	bold   colour = "1"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

// painter is true where colours are wanted.
type painter bool

func (p painter) paint(s string, c colour) string {
	if !p || c == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// row is one line of a table.
type row struct {
	colour colour
	cells  []string // all safe to print
}

// layTable has a line for each row, with columns aligned.
func layTable(rows []row, p painter) []string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r.cells, "\t"))
	}
	w.Flush()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, r := range rows {
		lines[i] = p.paint(lines[i], r.colour)
	}
	return lines
}

// page is what a person is shown: in colours, and as wide as the terminal.
type page struct {
	painter
	out      *os.File
	terminal bool
	width    int
	lines    []string
}

func newPage(out *os.File) *page {
	pg := &page{painter: painter(inColour(out)), out: out, width: 1000}
	if width, _ := terminalSize(out); width > 0 {
		pg.terminal, pg.width = true, max(width, 20)
	}
	return pg
}

// say adds a text that begins with a label in a colour. It is wrapped at spaces;
// all of it is safe to print.
func (pg *page) say(c colour, label, text string) {
	const indent = "    "
	text = named(label + text)
	first := len(pg.lines)
	for utf8.RuneCountInString(text) > pg.width {
		head := string([]rune(text)[:pg.width+1])
		end := strings.LastIndexByte(head, ' ')
		if end <= len(indent) { // a word is longer than the line
			more := strings.IndexByte(text[len(head):], ' ')
			if more < 0 {
				break
			}
			end = len(head) + more
		}
		pg.lines = append(pg.lines, text[:end])
		text = indent + text[end+1:]
	}
	pg.lines = append(pg.lines, text)
	if rest, ok := strings.CutPrefix(pg.lines[first], named(label)); ok {
		pg.lines[first] = pg.paint(named(label), c) + rest
	}
}

// fewChecks is how many checks of a name are shown: there may be thousands of
// projects that have the same wrong.
const fewChecks = 5

// checks adds checks, with what to do about them.
func (pg *page) checks(checks []doctor.Check) {
	colours := map[doctor.Level]colour{doctor.OK: green, doctor.Warning: yellow, doctor.Failure: red}
	shown, left := map[string]int{}, 0
	for _, c := range checks {
		if shown[c.Name]++; shown[c.Name] > fewChecks {
			left++
			continue
		}
		about := ""
		if c.Project != "" {
			about = place(c.Project) + ": "
		}
		pg.say(colours[c.Status], string(c.Status), " "+c.Name+": "+about+safe(c.Detail))
		if c.Mend != "" { // not wrapped, since it is to be copied
			pg.lines = append(pg.lines, "  do: "+named(safe(c.Mend)))
		}
	}
	if left > 0 {
		pg.say("", "", fmt.Sprintf("... and %d more of the same; 'agent doctor --json' has all", left))
	}
}

// cut leaves out what does not fit into that many lines of the terminal.
func (pg *page) cut(height int) {
	for i, line := range pg.lines {
		if runes := []rune(line); strings.HasPrefix(line, "  do: ") && len(runes) > pg.width {
			pg.lines[i] = string(runes[:pg.width])
		}
	}
	if len(pg.lines) > height {
		pg.lines = append(pg.lines[:max(height-1, 0)], "... (without --watch, all of it)")
	}
}

// print prints the page after what it begins with.
func (pg *page) print(begin string) error {
	_, err := pg.out.WriteString(begin + strings.Join(pg.lines, "\n") + "\n")
	return err
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

// shortened is a path in at most width characters: its end, after an ellipsis.
func shortened(path string, width int) string {
	runes := []rune(path)
	if len(runes) <= width {
		return path
	}
	return "…" + string(runes[len(runes)-width+1:])
}

// age is for how long an event of this time, in RFC 3339, has been over.
func age(rfc3339 string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return "never"
	}
	d := max(now.Sub(t), 0)
	for _, unit := range []struct {
		time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= 2*unit.Duration {
			return fmt.Sprintf("%d%s ago", d/unit.Duration, unit.name)
		}
	}
	return fmt.Sprintf("%ds ago", d/time.Second)
}
