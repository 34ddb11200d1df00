package hooks

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/tailscale/hujson"
)

// A document is a settings file in JSON, with comments and trailing commas if its
// owner put some in. The parser keeps all white space and comments, so that all
// else stays as it stands when a part is changed.
type document struct {
	root    hujson.Value
	meaning any    // of what was parsed, as package json has it
	newline string // "\n" or "\r\n"
	indent  string // of one level
	lines   bool   // an item has a line of its own
	added   string // a line feed, if the file does not end in one
}

// maxBrackets bounds the parser's recursion. It is many times what the settings of
// any tool have.
const maxBrackets = 100_000

// parse reads a document. One without content, or no file (nil), is an empty
// object that has yet to be written. A name that comes twice is an error: which of
// them counts depends on who reads it.
func parse(data []byte) (*document, error) {
	if bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxBrackets {
		return nil, fmt.Errorf("has more than %d brackets; it is left alone", maxBrackets)
	}
	d := &document{newline: "\n", indent: "  ", lines: true}
	if bytes.Contains(data, []byte("\r\n")) {
		d.newline = "\r\n"
	}
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}" + d.newline)
	}
	if !bytes.HasSuffix(data, []byte("\n")) {
		d.added = "\n" // without it, a line comment at the end would be an error
	}
	var err error
	if d.root, err = hujson.Parse(append(slices.Clip(data), d.added...)); err == nil {
		plain := d.root.Clone()
		plain.Standardize()
		err = json.Unmarshal(plain.Pack(), &d.meaning)
	}
	if err != nil {
		text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "hujson: "), "jsontext: ")
		return nil, fmt.Errorf("is not valid JSON: %.200s; fix it first", strings.Replace(text, "parsing value: unexpected EOF", "the end is missing", 1))
	}
	if items, _ := itemsOf(&d.root); len(items) > 0 {
		d.indent, d.lines = indentOf(*items[0].before)
	}
	return d, nil
}

func (d *document) bytes() []byte {
	return bytes.TrimSuffix(d.root.Pack(), []byte(d.added))
}

// An item is an element of an array, or a member of an object: what stands before
// it, around the colon, and between it and its comma.
type item struct {
	before, after *hujson.Extra
	colon         hujson.Extra
	value         *hujson.Value
}

// itemsOf are the items of an array or object, and what stands between the last
// item, or the comma after it, and the bracket.
func itemsOf(v *hujson.Value) (items []item, tail *hujson.Extra) {
	switch c := v.Value.(type) {
	case *hujson.Array:
		for i := range c.Elements {
			v := &c.Elements[i]
			items = append(items, item{&v.BeforeExtra, &v.AfterExtra, nil, v})
		}
		return items, &c.AfterExtra
	case *hujson.Object:
		for i := range c.Members {
			m := &c.Members[i]
			items = append(items, item{&m.Name.BeforeExtra, &m.Value.AfterExtra, slices.Concat(m.Name.AfterExtra, m.Value.BeforeExtra), &m.Value})
		}
		return items, &c.AfterExtra
	}
	return nil, nil
}

// memberOf is a member's value; nil if there is none.
func memberOf(v *hujson.Value, name string) *hujson.Value {
	if o, ok := v.Value.(*hujson.Object); ok {
		for i := range o.Members {
			if o.Members[i].Name.Value.(hujson.Literal).String() == name {
				return &o.Members[i].Value
			}
		}
	}
	return nil
}

// indentOf is the white space at the beginning of the last line; false if there is
// but one.
func indentOf(extra hujson.Extra) (indent string, lines bool) {
	at := bytes.LastIndexByte(extra, '\n')
	line := extra[at+1:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))]), at >= 0
}

// add puts a value, or a member of that name, behind the last item of an array or
// object that is depth levels deep, and returns it.
func (d *document) add(to *hujson.Value, depth int, name, text string) *hujson.Value {
	value, err := hujson.Parse([]byte(text))
	if err != nil {
		panic(fmt.Sprintf("hooks: %v: %s", err, text)) // it is ours
	}
	items, tail := itemsOf(to)
	remarks := bytes.TrimRight(*tail, " \t\r\n")
	before, after := "", string((*tail)[len(remarks):])
	switch n := len(items); {
	case n > 0:
		if indent, lines := indentOf(*items[n-1].before); lines {
			before = d.newline + indent
		} else {
			before = " "
		}
	case d.lines:
		before = d.newline + strings.Repeat(d.indent, depth+1)
		after = d.newline + strings.Repeat(d.indent, depth)
	}
	if len(remarks) > 0 && !strings.Contains(before, "\n") {
		before = d.newline + before // the last of them may be to the end of its line
	}
	before, *tail = string(remarks)+before, hujson.Extra(after)
	if list, ok := to.Value.(*hujson.Array); ok {
		value.BeforeExtra = hujson.Extra(before)
		list.Elements = append(list.Elements, value)
		return &list.Elements[len(list.Elements)-1]
	}
	object := to.Value.(*hujson.Object)
	value.BeforeExtra = hujson.Extra(" ")
	object.Members = append(object.Members, hujson.ObjectMember{
		Name:  hujson.Value{BeforeExtra: hujson.Extra(before), Value: hujson.String(name)},
		Value: value,
	})
	return &object.Members[len(object.Members)-1].Value
}

// remove takes an item out of an array or object. The comments around it stay.
func (d *document) remove(from *hujson.Value, index int) {
	items, rest := itemsOf(from)
	last := index == len(items)-1
	if !last {
		rest = items[index+1].before
	}
	gone := items[index]
	var remarks hujson.Extra
	for _, extra := range []hujson.Extra{*gone.before, gone.colon, *gone.after} {
		if remark := bytes.TrimRight(extra, " \t\r\n"); len(remark) > 0 {
			remarks = slices.Concat(remarks, remark, hujson.Extra(d.newline))
		}
	}
	if bytes.HasPrefix(bytes.TrimLeft(*rest, " \t\r"), []byte("\n")) {
		remarks = bytes.TrimSuffix(remarks, []byte(d.newline))
	}
	if last && index > 0 && *gone.after == nil { // there was no comma behind it
		before := items[index-1].after
		remarks, *before = slices.Concat(*before, remarks), nil
	}
	*rest = slices.Concat(remarks, *rest)
	switch c := from.Value.(type) {
	case *hujson.Array:
		c.Elements = slices.Delete(c.Elements, index, index+1)
	case *hujson.Object:
		c.Members = slices.Delete(c.Members, index, index+1)
	}
}

// removeIf takes out the items of which match says so, the last one first, and
// reports whether there were any.
func (d *document) removeIf(from *hujson.Value, match func(*hujson.Value) bool) (removed bool) {
	items, _ := itemsOf(from)
	for i, item := range slices.Backward(items) {
		if match(item.value) {
			d.remove(from, i)
			removed = true
		}
	}
	return removed
}

// hollow reports whether nothing is in an array or object, not even a comment.
func hollow(v *hujson.Value) bool {
	items, tail := itemsOf(v)
	return tail != nil && len(items) == 0 && len(bytes.TrimSpace(*tail)) == 0
}
