package agent

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// quote makes text from a spool fit to be shown: a name may contain line feeds,
// escape sequences and bytes that are no UTF-8. Harmless text stays as it is.
func quote(s string) string {
	const long = 300
	if len(s) > long {
		s = s[:long] + "..."
	}
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

// oneLine is an error's text fit to be shown; joined errors have a line each.
func oneLine(err error) string { return quote(strings.ReplaceAll(err.Error(), "\n", "; ")) }
