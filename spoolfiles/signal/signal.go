package signal

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

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

// ParseLine parses one line of the queue, with or without its newline. The error
// is ErrBlank, or says what is malformed; the signal is then empty.
//
// It takes what the original, built on serde_json, takes: any Unicode white
// space around the object, but only JSON's within; names of fields spelt with
// escapes; anything in the fields it does not know, provided that it is JSON.
// It refuses what the original refuses, among others a known field given twice,
// even as null, half a surrogate pair in a known field or in any name, and a
// recorded_at such as 1.0, 1e3 or -0. It differs in three points: a signal written
// as an array is malformed, and so is one with an unknown field nested more than
// 10,000 deep, and one with more than 65,536 fields.
//
// Any number of goroutines may call it at once.
func ParseLine(line []byte) (Signal, error) {
	line = bytes.TrimSpace(line) // Unicode's White_Space, as in the original
	if len(line) == 0 {
		return Signal{}, ErrBlank
	}
	if bytes.IndexByte(line, '\n') >= 0 {
		return Signal{}, errors.New("more than one line")
	}
	ms, err := parse(line)
	switch {
	case err != nil:
		return Signal{}, err
	case !ms.has("recorded_at", 0):
		return Signal{}, errors.New("recorded_at is missing")
	case !ms.has("cwd", 0):
		return Signal{}, errors.New("cwd is missing")
	}
	return ms.signal(Signal{})
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

// signal sets the fields that the members are; s has what counts where there is
// none.
func (ms members) signal(s Signal) (Signal, error) {
	for i, m := range ms {
		if _, ok := unescape(m.name); !ok {
			return Signal{}, errors.New("a field's name has half a surrogate pair")
		}
		var err error
		switch string(m.key) {
		case "recorded_at":
			// ParseUint takes neither null nor a quote, and all that it takes in base
			// 10 is JSON's form of a whole number, once the decoder has refused
			// leading zeros.
			if s.RecordedAt, err = strconv.ParseUint(string(m.value), 10, 64); err != nil {
				err = errors.New("recorded_at is not a whole number from 0 to 18446744073709551615")
			}
		case "tool_name":
			s.ToolName, err = m.textOrNull()
		case "cwd":
			s.CWD, err = m.text()
		case "payload":
			s.Payload, err = m.textOrNull()
		default:
			continue
		}
		if ms[:i].has(string(m.key), 0) {
			err = fmt.Errorf("%s is given twice", m.key)
		}
		if err != nil {
			return Signal{}, err
		}
	}
	return s, nil
}
