package signal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"unicode/utf8"

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

// members are those of an object, as they stand in its text.
type members []member

type member struct {
	key         []byte // the name, unescaped
	name, value jsontext.Value
}

// maxMembers bounds the memory that an object takes.
const maxMembers = 1 << 16

// parse returns the members of the one JSON object in UTF-8 that data holds,
// valid as long as data is. Objects nested more than 10,000 deep are an error.
func parse(data []byte) (members, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8 text")
	}
	dec := newDecoder(data)
	defer decoders.Put(dec)
	ms := make(members, 0, 8)
	brace, err := dec.ReadToken()
	if err == nil && brace.Kind() != '{' {
		return nil, errNoObject
	}
	for err == nil && dec.PeekKind() != '}' {
		if len(ms) == maxMembers {
			return nil, fmt.Errorf("has more than %d fields", maxMembers)
		}
		var m member
		if m.name, err = readValue(dec, data); err == nil {
			m.key, _ = unescape(m.name)
			m.value, err = readValue(dec, data)
		}
		ms = append(ms, m)
	}
	if err == nil {
		_, err = dec.ReadToken()
	}
	if err != nil {
		return nil, syntaxError(err)
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, errors.New("more text after the JSON object")
	}
	return ms, nil
}

// readValue returns the next value where it lies in data; the decoder's own
// slice is only valid until it reads on.
func readValue(dec *jsontext.Decoder, data []byte) (jsontext.Value, error) {
	v, err := dec.ReadValue()
	end := int(dec.InputOffset())
	return data[end-len(v) : end], err
}

// syntaxError says in one short line what the decoder found: its own wording
// repeats the names of the fields around, which may be long.
func syntaxError(err error) error {
	se, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, io.EOF):
		return errNoObject
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("cut off: the JSON object has no end")
	case ok:
		return fmt.Errorf("not JSON: %w, at byte %d", se.Err, se.ByteOffset)
	}
	return fmt.Errorf("not JSON: %w", err)
}

// has reports whether there is such a member; kind 0 is any.
func (ms members) has(key string, kind jsontext.Kind) bool {
	return slices.ContainsFunc(ms, func(m member) bool {
		return string(m.key) == key && (kind == 0 || kind == m.value.Kind())
	})
}

// last returns the text that read finds in the last member with the first of the
// keys that has one, and the index of this member, -1 if there is none.
func (ms members) last(read func(member) (string, error), keys ...string) (text string, at int) {
	for _, key := range keys {
		for i, m := range slices.Backward(ms) {
			if string(m.key) == key {
				if text, _ := read(m); text != "" {
					return text, i
				}
			}
		}
	}
	return "", -1
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

// text returns what the member says, if it is a string that is text.
func (m member) text() (string, error) {
	if m.value.Kind() != '"' {
		return "", fmt.Errorf("%s is not a string", m.key)
	}
	text, ok := unescape(m.value)
	if !ok {
		return "", fmt.Errorf("%s has half a surrogate pair", m.key)
	}
	return string(text), nil
}

// textOrNull is text, but null is as good as absent.
func (m member) textOrNull() (*string, error) {
	if m.value.Kind() == 'n' {
		return nil, nil
	}
	text, err := m.text()
	return &text, err
}

// firstText returns what the first element says, if the member is an array.
func (m member) firstText() (string, error) {
	if m.value.Kind() != '[' {
		return "", fmt.Errorf("%s is not an array", m.key)
	}
	m.value, _ = newDecoder(m.value[1:]).ReadValue() // none if the array is empty
	return m.text()
}

// textIn returns what the member of that name says, in a member that is an object
// and has one.
func textIn(name string) func(member) (string, error) {
	return func(m member) (string, error) {
		ms, err := parse(m.value)
		text, _ := ms.last(member.text, name)
		return text, err
	}
}
