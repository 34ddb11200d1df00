package hooks

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// A document is a settings file in JSON, with comments and trailing commas if
// its owner put some in. The parser keeps all white space and comments, so that all
// else stays as it stands when a part is changed.
type document struct {
	mark  []byte // a byte order mark
	text  []byte // what follows it
	root  hujson.Value
	style style
}

const bom = "\ufeff"

// maxBrackets bounds the parser's recursion. It is many times what the settings of
// any tool have.
const maxBrackets = 100_000

// parse reads a document. One without content, or no file (nil), is an empty
// object that has yet to be written.
func parse(data []byte) (*document, error) {
	d := new(document)
	if d.text = data; bytes.HasPrefix(data, []byte(bom)) {
		d.mark, d.text = data[:len(bom)], data[len(bom):]
	}
	if !utf8.Valid(d.text) {
		return nil, d.errorAt(bytes.IndexRune(d.text, utf8.RuneError), "is not UTF-8; save it as UTF-8 first")
	}
	if bytes.Count(d.text, []byte("["))+bytes.Count(d.text, []byte("{")) > maxBrackets {
		return nil, fmt.Errorf("has more than %d brackets; it is left alone", maxBrackets)
	}
	if len(bytes.TrimSpace(d.text)) == 0 {
		newline := "\n"
		if bytes.HasPrefix(d.text, []byte("\r\n")) {
			newline = "\r\n"
		}
		d.text = []byte("{}" + newline)
	}
	return d, d.reparse()
}

// reparse parses the text, and a line feed: without it, a line comment that ends
// with the file would be an error.
func (d *document) reparse() (err error) {
	if d.root, err = hujson.Parse(append(slices.Clip(d.text), '\n')); err != nil {
		_, err = hujson.Parse(d.text)
		return fmt.Errorf("is not JSON: %.200s; fix it first", strings.TrimPrefix(err.Error(), "hujson: "))
	}
	d.style = styleOf(d)
	return nil
}

func (d *document) bytes() []byte { return slices.Concat(d.mark, d.text) }

// errorAt is an error that names the line of an offset.
func (d *document) errorAt(offset int, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", 1+bytes.Count(d.text[:offset], []byte("\n")), fmt.Sprintf(format, args...))
}

// changed is what follows a change of a part of root.
func (d *document) changed() error {
	d.text = bytes.TrimSuffix(d.root.Pack(), []byte("\n"))
	return d.reparse()
}

// A box is an array or an object.
type box struct {
	items []item
	tail  *hujson.Extra // between the last item, or the comma after it, and the bracket
	comma hujson.Extra  // empty; not nil if there is a comma after the last item
}

// An item is an element of an array, or a member of an object: what stands before
// it is before first, and what stands up to the comma behind last.
type item struct{ first, last *hujson.Value }

func boxOf(v *hujson.Value) box {
	b := box{tail: new(hujson.Extra)}
	switch c := v.Value.(type) {
	case *hujson.Array:
		b.tail = &c.AfterExtra
		for i := range c.Elements {
			b.items = append(b.items, item{&c.Elements[i], &c.Elements[i]})
		}
	case *hujson.Object:
		b.tail = &c.AfterExtra
		for i := range c.Members {
			b.items = append(b.items, item{&c.Members[i].Name, &c.Members[i].Value})
		}
	}
	if n := len(b.items); n > 0 {
		b.comma = b.items[n-1].last.AfterExtra[:0:0]
	}
	return b
}

// broken reports whether the box goes over several lines; an empty one may
// leave it open.
func (b box) broken(ifEmpty bool) bool {
	if len(b.items) == 0 && !bytes.ContainsRune(*b.tail, '\n') {
		return ifEmpty
	}
	for _, i := range b.items {
		if bytes.ContainsRune(i.first.BeforeExtra, '\n') || bytes.ContainsRune(i.last.AfterExtra, '\n') {
			return true
		}
	}
	return bytes.ContainsRune(*b.tail, '\n')
}

// comments is an extra without the white space at its end, and whether that
// ends in a line comment, which needs a line feed behind it.
func comments(extra hujson.Extra) (kept []byte, line bool) {
	end := 0
	for n := 0; n < len(extra); {
		switch rest := extra[n:]; {
		case bytes.HasPrefix(rest, []byte("//")):
			length := bytes.IndexByte(rest, '\n')
			end, line = n+len(bytes.TrimRight(rest[:length], "\r")), true
			n += length
		case bytes.HasPrefix(rest, []byte("/*")):
			n += len("/*") + bytes.Index(rest[len("/*"):], []byte("*/")) + len("*/")
			end, line = n, false
		default:
			n++
		}
	}
	return extra[:end], line
}
