package signal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// decoders are kept for the next one.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// lax reads what the grammar of JSON allows: that a name comes twice, or that an
// escape is half a surrogate pair, is an error only where the field matters.
var lax = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// newDecoder returns a decoder of data, which it parses where it lies; it may be
// put back into decoders.
func newDecoder(data []byte) *jsontext.Decoder {
	dec := decoders.Get().(*jsontext.Decoder)
	dec.Reset(bytes.NewBuffer(data), lax...)
	return dec
}

var errNoObject = errors.New("not a JSON object")

// eachMember calls f for each member of the one JSON object that data holds,
// with name and value as they stand in data, valid as long as data is. An error
// of f ends it. Objects nested more than 10,000 deep are an error.
func eachMember(data []byte, f func(name, value jsontext.Value) error) error {
	dec := newDecoder(data)
	defer decoders.Put(dec)
	next := func() (jsontext.Value, error) {
		v, err := dec.ReadValue()
		end := int(dec.InputOffset())
		return data[end-len(v) : end : end], err
	}
	switch tok, err := dec.ReadToken(); {
	case err != nil:
		return syntaxError(err)
	case tok.Kind() != '{':
		return errNoObject
	}
	for dec.PeekKind() != '}' {
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
	if _, err := dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	if _, err := dec.ReadToken(); err != io.EOF {
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

// unescape returns what a JSON string says; it may alias it. ok is false if it
// has half a surrogate pair, which is no text.
func unescape(quoted jsontext.Value) (text []byte, ok bool) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], true
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	return text, err == nil
}

// unquote is unescape for any value, without aliasing it; ok is false also if it
// is no string.
func unquote(value jsontext.Value) (text string, ok bool) {
	if value.Kind() != '"' {
		return "", false
	}
	b, ok := unescape(value)
	return string(b), ok
}

// textOf is unquote, where no text is as good as an empty one.
func textOf(value jsontext.Value) string {
	if text, ok := unquote(value); ok {
		return text
	}
	return ""
}

// firstString returns what the first element of a JSON array says, if it is a
// string that is text.
func firstString(array jsontext.Value) string {
	if array.Kind() != '[' {
		return ""
	}
	first, err := newDecoder(array[1:]).ReadValue()
	if err != nil { // the array is empty
		return ""
	}
	return textOf(first)
}

// cwdOf returns the cwd that a JSON object has, if it is a string that is text.
func cwdOf(object jsontext.Value) (cwd string) {
	_ = eachMember(object, func(name, value jsontext.Value) error { // else it has none
		if key, _ := unescape(name); string(key) == "cwd" {
			cwd = cmp.Or(textOf(value), cwd)
		}
		return nil
	})
	return cwd
}
