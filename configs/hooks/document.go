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
// its owner put some in. It is changed by splicing bytes at the offsets that
// the parser found, so that all else stays as it stands.
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
		valid := 0
		for r, n := utf8.DecodeRune(d.text); r != utf8.RuneError || n > 1; r, n = utf8.DecodeRune(d.text[valid:]) {
			valid += n
		}
		return nil, d.errorAt(valid, "is not UTF-8; save it as UTF-8 first")
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

func (d *document) reparse() error {
	root, err := hujson.Parse(d.text)
	if err != nil {
		// To the parser, a line comment that ends with the file is an error.
		var again error
		if root, again = hujson.Parse(append(slices.Clip(d.text), '\n')); again != nil {
			return fmt.Errorf("is not JSON: %.200s; fix it first", strings.TrimPrefix(err.Error(), "hujson: "))
		}
	}
	d.root = root
	d.style = styleOf(d)
	return nil
}

func (d *document) bytes() []byte { return slices.Concat(d.mark, d.text) }

// errorAt is an error that names the line of an offset.
func (d *document) errorAt(offset int, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", 1+bytes.Count(d.text[:offset], []byte("\n")), fmt.Sprintf(format, args...))
}

// A splice replaces text[from:to].
type splice struct {
	from, to int
	text     string
}

// apply changes the text; splices are in order and do not overlap.
func (d *document) apply(splices ...splice) error {
	var out []byte
	at := 0
	for _, s := range splices {
		out = append(append(out, d.text[at:s.from]...), s.text...)
		at = s.to
	}
	d.text = append(out, d.text[at:]...)
	return d.reparse()
}

// An item is an element of an array or a member of an object, as it stands in
// the text: before it white space and comments, and after it up to the comma.
type item struct {
	before, after hujson.Extra
	start, end    int
}

// A box is an array or an object as it stands in the text.
type box struct {
	open, close int // the offsets of its brackets
	items       []item
	tail        hujson.Extra // between the last item, or the comma after it, and the bracket
	trailing    bool         // there is a comma after the last item
}

func boxOf(v *hujson.Value) box {
	b := box{open: v.StartOffset, close: v.EndOffset - 1}
	switch c := v.Value.(type) {
	case *hujson.Array:
		b.tail = c.AfterExtra
		for _, e := range c.Elements {
			b.items = append(b.items, item{e.BeforeExtra, e.AfterExtra, e.StartOffset, e.EndOffset})
		}
	case *hujson.Object:
		b.tail = c.AfterExtra
		for _, m := range c.Members {
			b.items = append(b.items, item{m.Name.BeforeExtra, m.Value.AfterExtra, m.Name.StartOffset, m.Value.EndOffset})
		}
	}
	if n := len(b.items); n > 0 {
		b.trailing = b.items[n-1].after != nil
	}
	return b
}

// broken reports whether the box goes over several lines; an empty one may
// leave it open.
func (b box) broken(ifEmpty bool) bool {
	if len(b.items) == 0 && !bytes.ContainsRune(b.tail, '\n') {
		return ifEmpty
	}
	for _, i := range b.items {
		if bytes.ContainsRune(i.before, '\n') || bytes.ContainsRune(i.after, '\n') {
			return true
		}
	}
	return bytes.ContainsRune(b.tail, '\n')
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
