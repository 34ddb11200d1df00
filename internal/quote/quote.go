// Package quote makes text that came from a disk fit to be shown: a name may
// contain line feeds, escape sequences, and bytes that are not UTF-8.
package quote

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// long is how many bytes of a text are shown.
const long = 300

// Text is Line, but no longer than is good in a message.
func Text(s string) string {
	if len(s) > long {
		s = s[:long] + "..."
	}
	return Line(s)
}

// Line returns harmless text as it is, and other text as a Go string literal.
func Line(s string) string {
	if !utf8.ValidString(s) {
		return strconv.Quote(s)
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// Error returns the text of an error in one line; joined errors have a line each.
func Error(err error) string { return Text(strings.ReplaceAll(err.Error(), "\n", "; ")) }

// Shell returns a path as a shell takes it. Of one with characters that are not to
// be printed it is the Go string literal, which is no such path, but does no harm.
func Shell(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(Line(path), "'", `'\''`) + "'"
}
