package service

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// check reports what no definition can say. Every format has lines or is XML,
// so control characters and broken UTF-8 are out, on all systems alike.
func (s Spec) check() error {
	if !plain(s.Binary) {
		return fmt.Errorf("the agent's path %q has a control character in it, or is not UTF-8: no service can be made of it; move the agent", s.Binary)
	}
	for _, arg := range s.Args {
		if !plain(arg) {
			return fmt.Errorf("the argument %q has a control character in it, or is not UTF-8", arg)
		}
	}
	for name, value := range s.Env {
		if !isVariable(name) {
			return fmt.Errorf("%q is no name for an environment variable", name)
		}
		if !plain(value) {
			return fmt.Errorf("the variable %s has a control character in its value %q, or is not UTF-8", name, value)
		}
	}
	return nil
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\ufffe' || r == '\uffff' // the latter two are not in XML
	})
}
