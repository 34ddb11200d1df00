package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"

	"spoolagent/internal/quote"
)

// safe makes text that came from a disk fit for one line of a terminal.
func safe(s string) string { return quote.Line(s) }

// oneLine is an error's text, safe to print. Joined errors have a line each.
func oneLine(err error) string { return safe(strings.ReplaceAll(err.Error(), "\n", "; ")) }

// printJSON prints a value as one line of JSON.
func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// onTerminal reports whether a person reads f.
func onTerminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }

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
