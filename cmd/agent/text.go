package main

import (
	"fmt"
	"io"
	"os"
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

// printTable prints rows with their columns aligned. The standard tabwriter
// would count the colours.
func printTable(w io.Writer, rows [][]cell, p painter) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text))
			if c.right {
				line.WriteString(pad)
			}
			line.WriteString(p.paint(c.text, c.colour))
			if !c.right && i < len(row)-1 {
				line.WriteString(pad)
			}
		}
		fmt.Fprintln(w, line.String())
	}
}
