package signal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Signal is one record: something that happened in an AI coding tool, kept
// until a consumer drains it.
//
// It holds no reference to what it was parsed from.
type Signal struct {
	RecordedAt uint64  // Unix time in seconds
	ToolName   *string // nil if absent
	CWD        string  // working directory of the tool
	Payload    *string // nil if absent
}

// ErrBlank is what ParseLine returns for a line of white space, which is neither
// a signal nor malformed: readers of the queue skip it.
var ErrBlank = errors.New("blank line")

var errNotUTF8 = errors.New("not UTF-8 text")

// ParseLine parses one line of the queue, with or without its newline. The error
// is ErrBlank, or says what is malformed; the signal is then empty.
//
// It takes what the original, built on serde_json, takes: any Unicode white
// space around the object, but only JSON's within; names of fields spelt with
// escapes; anything in the fields it does not know, provided that it is JSON.
// It refuses what the original refuses, among others a known field given twice,
// even as null, half a surrogate pair in a known field or in any name, and a
// recorded_at such as 1.0, 1e3 or -0. It differs in two points: a signal written
// as an array is malformed, and so is one with an unknown field nested more than
// 10,000 deep.
//
// Any number of goroutines may call it at once.
func ParseLine(line []byte) (Signal, error) {
	if !utf8.Valid(line) {
		return Signal{}, errNotUTF8
	}
	line = bytes.TrimSpace(line) // Unicode's White_Space, as in the original
	if len(line) == 0 {
		return Signal{}, ErrBlank
	}
	if bytes.IndexByte(line, '\n') >= 0 {
		return Signal{}, errors.New("more than one line")
	}
	var f fields
	err := eachMember(line, f.add)
	switch {
	case err != nil:
		return Signal{}, err
	case !f.seen[recordedAt]:
		return Signal{}, errors.New("recorded_at is missing")
	case !f.seen[cwd]:
		return Signal{}, errors.New("cwd is missing")
	}
	return f.Signal, nil
}

// AppendLine appends the signal in canonical form, which has no newline, to dst
// and returns the longer slice. It is byte for byte what the original writes.
// Bytes that are not UTF-8, which no parsed signal has, become U+FFFD.
//
// Any number of goroutines may call it at once, with different dst.
func (s Signal) AppendLine(dst []byte) []byte {
	dst = append(dst, `{"recorded_at":`...)
	dst = strconv.AppendUint(dst, s.RecordedAt, 10)
	if s.ToolName != nil {
		dst = append(dst, `,"tool_name":`...)
		dst = appendQuote(dst, *s.ToolName)
	}
	dst = append(dst, `,"cwd":`...)
	dst = appendQuote(dst, s.CWD)
	if s.Payload != nil {
		dst = append(dst, `,"payload":`...)
		dst = appendQuote(dst, *s.Payload)
	}
	return append(dst, '}')
}

// appendQuote escapes as serde_json does: the quote, the backslash and what is
// below the space, in short form where there is one.
func appendQuote[T ~[]byte | ~string](dst []byte, s T) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // its error is the U+FFFD it wrote
	return dst
}

// The fields of a signal.
const (
	recordedAt = iota
	toolName
	cwd
	payload
)

var fieldNames = []string{"recorded_at", "tool_name", "cwd", "payload"}

// fields gathers a signal from the members of its object.
type fields struct {
	Signal
	seen [4]bool
}

// add takes one member.
func (f *fields) add(name, value jsontext.Value) error {
	key, ok := unescape(name)
	if !ok {
		return errors.New("a field's name has half a surrogate pair")
	}
	field := slices.Index(fieldNames, string(key))
	if field < 0 {
		return nil
	}
	if f.seen[field] {
		return fmt.Errorf("%s is given twice", key)
	}
	f.seen[field] = true
	if field == recordedAt {
		// ParseUint alone would not do: it knows neither null nor a quote, but all
		// that it takes in base 10 is JSON's form of a whole number, once the
		// decoder has refused leading zeros.
		n, err := strconv.ParseUint(string(value), 10, 64)
		if err != nil {
			return errors.New("recorded_at is not a whole number from 0 to 18446744073709551615")
		}
		f.RecordedAt = n
		return nil
	}
	if value.Kind() == 'n' && field != cwd {
		return nil // as good as absent
	}
	if value.Kind() != '"' {
		return fmt.Errorf("%s is not a string", key)
	}
	text, ok := unquote(value)
	if !ok {
		return fmt.Errorf("%s has half a surrogate pair", key)
	}
	switch field {
	case toolName:
		f.ToolName = &text
	case cwd:
		f.CWD = text
	case payload:
		f.Payload = &text
	}
	return nil
}
