package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// safe makes text that came from a disk fit for one line of a terminal: what
// would break the line, steer the terminal or hide something is escaped.
func safe(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
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

// cell is one field of a table.
type cell struct {
	text   string
	right  bool // flush right
	colour colour
}

// printTable prints rows with their columns aligned.
func printTable(w io.Writer, rows [][]cell, p painter) {
	for _, line := range layTable(rows, columnWidths(rows), p) {
		fmt.Fprintln(w, line)
	}
}

// columnGap is between two columns.
const columnGap = 2

func columnWidths(rows [][]cell) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	return widths
}

// layTable has a line for each row, with columns of these widths. The standard
// tabwriter would count the colours.
func layTable(rows [][]cell, widths []int, p painter) []string {
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			if i > 0 {
				line.WriteString(strings.Repeat(" ", columnGap))
			}
			pad := strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(c.text), 0))
			if c.right {
				line.WriteString(pad)
			}
			line.WriteString(p.paint(c.text, c.colour))
			if !c.right && i < len(row)-1 {
				line.WriteString(pad)
			}
		}
		lines = append(lines, line.String())
	}
	return lines
}

// shortPath is a path in at most width characters: what is cut out of its
// middle is replaced by an ellipsis. Its last component stays, if it can.
func shortPath(path string, width int) string {
	runes := []rune(path)
	if len(runes) <= width {
		return path
	}
	if width < 3 {
		return string(runes[:max(width, 0)])
	}
	tail := utf8.RuneCountInString(filepath.Base(path)) + 1
	if tail > width-2 {
		tail = (width - 1) / 2
	}
	return string(runes[:width-1-tail]) + "…" + string(runes[len(runes)-tail:])
}

// wrap breaks a line at blanks, so that no part is longer than width unless it
// has no blank; further lines begin with indent. A width of 0 has no end.
func wrap(line string, width int, indent string) []string {
	var lines []string
	for width > 0 && utf8.RuneCountInString(line) > width {
		runes := []rune(line)
		at := width
		for at > len(indent) && runes[at] != ' ' {
			at--
		}
		if at <= len(indent) {
			break
		}
		lines = append(lines, string(runes[:at]))
		line = indent + string(runes[at+1:])
	}
	return append(lines, line)
}
