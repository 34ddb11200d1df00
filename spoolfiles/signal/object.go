package signal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// lax reads what the grammar of JSON allows and no more: that a name comes
// twice, or that a \u escape is half a surrogate pair, is for the caller to
// mind, who knows whether the field matters. Bytes that are not UTF-8 are no
// text at all, so everyone checks for them first.
var lax = []jsontext.Options{
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
}

// reader is a decoder that parses a slice where it lies, kept for the next one.
type reader struct {
	dec jsontext.Decoder
	in  bytes.Buffer
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// readJSON returns a reader of data, to be given back with done.
func readJSON(data []byte) *reader {
	r := readers.Get().(*reader)
	r.in = *bytes.NewBuffer(data)
	r.dec.Reset(&r.in, lax...)
	return r
}

func (r *reader) done() {
	r.in = bytes.Buffer{}
	r.dec.Reset(&r.in) // lets go of the data: it may be large
	readers.Put(r)
}

// offset is where the last token or value ended.
func (r *reader) offset() int { return int(r.dec.InputOffset()) }

var errNoObject = errors.New("not a JSON object")

// eachMember calls f for each member of the one JSON object that data holds,
// with name and value as they stand in data, valid as long as data is. An error
// of f ends it. Objects nested more than 10,000 deep are an error.
func eachMember(data []byte, f func(name, value jsontext.Value) error) error {
	r := readJSON(data)
	defer r.done()
	next := func() (jsontext.Value, error) {
		v, err := r.dec.ReadValue()
		end := r.offset()
		return data[end-len(v) : end : end], err
	}
	switch tok, err := r.dec.ReadToken(); {
	case err != nil:
		return syntaxError(err)
	case tok.Kind() != '{':
		return errNoObject
	}
	for r.dec.PeekKind() != '}' {
		name, err := next()
		if err != nil {
			return syntaxError(err)
		}
		value, err := next()
		if err != nil {
			return syntaxError(err)
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	if _, err := r.dec.ReadToken(); err != io.EOF {
		return errors.New("more text after the JSON object")
	}
	return nil
}

// syntaxError says in one short line what the decoder found: its own wording
// repeats the names of the fields around, which may be long.
func syntaxError(err error) error {
	var se *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		return errNoObject
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("cut off: the JSON object has no end")
	case errors.As(err, &se):
		return fmt.Errorf("not JSON: %w, at byte %d", se.Err, se.ByteOffset)
	}
	return fmt.Errorf("not JSON: %w", err)
}

// isName reports whether a member's name, as it stands in the text, means want.
func isName(raw jsontext.Value, want string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1:len(raw)-1]) == want
	}
	name, ok := unquote(raw)
	return ok && name == want
}

// unquote returns what a JSON string says, without aliasing it; ok is false if
// it is no string, or one with half a surrogate pair, which is no text.
func unquote(raw jsontext.Value) (s string, ok bool) {
	if raw.Kind() != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err == nil
}

// firstString returns what the first element of a JSON array says, if it is a
// string that is text.
func firstString(array jsontext.Value) string {
	if array.Kind() != '[' {
		return ""
	}
	r := readJSON(array)
	defer r.done()
	if _, err := r.dec.ReadToken(); err != nil {
		return ""
	}
	first, err := r.dec.ReadValue()
	if err != nil { // the array is empty
		return ""
	}
	if s, ok := unquote(first); ok {
		return s
	}
	return ""
}
