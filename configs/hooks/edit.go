package hooks

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// What is written into documents: an object with its members in order, an
// array, a string or a whole number.
type (
	object []member
	member struct {
		name  string
		value any
	}
	array []any
)

// A style is how a document is laid out.
type style struct {
	newline string // "\n" or "\r\n"
	indent  string // of one level
	space   string // after a colon, and after a comma within a line
}

func styleOf(d *document) style {
	s := style{"\n", "  ", " "}
	if i := bytes.IndexByte(d.text, '\n'); i > 0 && d.text[i-1] == '\r' {
		s.newline = "\r\n"
	}
	root := boxOf(&d.root)
	if o, ok := d.root.Value.(*hujson.Object); ok && len(o.Members) > 0 {
		if !bytes.HasPrefix(o.Members[0].Value.BeforeExtra, []byte(" ")) {
			s.space = ""
		}
		if own := indentOf(d.text, d.root.StartOffset); root.broken(false) {
			if in, ok := strings.CutPrefix(root.indent(own), own); ok && in != "" {
				s.indent = in
			}
		}
	}
	return s
}

// indentOf is the white space at the beginning of the line that an offset is in.
func indentOf(text []byte, offset int) string {
	line := text[bytes.LastIndexByte(text[:offset], '\n')+1 : offset]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// indent is the white space before the items of a broken box.
func (b box) indent(otherwise string) string {
	for _, i := range slices.Backward(b.items) {
		before := i.first.BeforeExtra
		if at := bytes.LastIndexByte(before, '\n'); at >= 0 && len(bytes.Trim(before[at:], " \t\n")) == 0 {
			return string(before[at+1:])
		}
	}
	return otherwise
}

// render writes a value: over several lines, all but the first of them
// indented, or in one.
func (s style) render(v any, indent string, broken bool) string {
	var parts []string
	brackets := "{}"
	switch v := v.(type) {
	case string:
		return string(hujson.String(v))
	case int:
		return strconv.Itoa(v)
	case array:
		brackets = "[]"
		for _, e := range v {
			parts = append(parts, s.render(e, indent+s.indent, broken))
		}
	case object:
		for _, m := range v {
			parts = append(parts, string(hujson.String(m.name))+":"+s.space+s.render(m.value, indent+s.indent, broken))
		}
	default:
		panic(fmt.Sprintf("hooks: a %T in a settings file", v))
	}
	if !broken {
		return brackets[:1] + strings.Join(parts, ","+s.space) + brackets[1:]
	}
	line := s.newline + indent
	return brackets[:1] + line + s.indent + strings.Join(parts, ","+line+s.indent) + line + brackets[1:]
}

// add puts an item behind the last one of an array or object: a value, or a
// member. An empty one is laid out over several lines if broken says so.
func (d *document) add(to *hujson.Value, what any, broken bool) error {
	b := boxOf(to)
	own := indentOf(d.text, to.StartOffset)
	kept, _ := comments(*b.tail)
	before, indent, tail := d.style.space, "", string((*b.tail)[len(kept):])
	empty := len(b.items) == 0
	switch {
	case empty && !b.broken(broken):
		before, tail, broken = "", "", false
	case empty:
		indent = own + d.style.indent
		before, tail, broken = d.style.newline+indent, d.style.newline+own, true
	case b.broken(false):
		indent = b.indent(own + d.style.indent)
		before, broken = d.style.newline+indent, true
	default: // [{ and }] may stand in one line each
		last := b.items[len(b.items)-1]
		indent = indentOf(d.text, last.first.StartOffset)
		broken = bytes.ContainsRune(d.text[last.first.StartOffset:last.last.EndOffset], '\n')
	}
	value := func(before string, v any) hujson.Value {
		return hujson.Value{BeforeExtra: hujson.Extra(before), Value: hujson.Literal(d.style.render(v, indent, broken))}
	}
	before = string(kept) + before
	switch c := to.Value.(type) {
	case *hujson.Array:
		c.Elements = append(c.Elements, value(before, what))
		c.Elements[len(c.Elements)-1].AfterExtra = b.comma
	case *hujson.Object:
		m := what.(member)
		c.Members = append(c.Members, hujson.ObjectMember{Name: value(before, m.name), Value: value(d.style.space, m.value)})
		c.Members[len(c.Members)-1].Value.AfterExtra = b.comma
	}
	*b.tail = hujson.Extra(tail)
	return d.changed()
}

// remove takes the item with an index out of an array or object, so that what
// add has put there leaves no trace. Comments stay.
func (d *document) remove(from *hujson.Value, index int) error {
	b := boxOf(from)
	it, rest := b.items[index], b.tail
	if index < len(b.items)-1 {
		rest = &b.items[index+1].first.BeforeExtra
	}
	*rest = d.join(it.first.BeforeExtra, it.last.AfterExtra, *rest)
	if kept, _ := comments(*rest); len(b.items) == 1 && len(kept) == 0 {
		*rest = nil // it becomes {} or []
	}
	if index > 0 && index == len(b.items)-1 {
		last := b.items[index-1].last
		if b.comma != nil {
			last.AfterExtra = append(hujson.Extra{}, last.AfterExtra...) // not nil
		} else {
			*rest = slices.Concat(last.AfterExtra, *rest)
			last.AfterExtra = nil
		}
	}
	switch c := from.Value.(type) {
	case *hujson.Array:
		c.Elements = slices.Delete(c.Elements, index, index+1)
	case *hujson.Object:
		c.Members = slices.Delete(c.Members, index, index+1)
	}
	return d.changed()
}

// join is what stays where an item was: the comments before and after it, and what
// followed. After a line comment there must be a line feed.
func (d *document) join(before, after, rest hujson.Extra) hujson.Extra {
	kept, line := comments(before)
	stays, stillLine := comments(after)
	if len(stays) > 0 {
		if line {
			kept = append(slices.Clip(kept), d.style.newline...)
		}
		line = stillLine
	}
	if line {
		trimmed := bytes.TrimLeft(rest, " \t")
		if bytes.HasPrefix(trimmed, []byte("\n")) || bytes.HasPrefix(trimmed, []byte("\r\n")) {
			rest = trimmed
		} else {
			stays = append(slices.Clip(stays), d.style.newline...)
		}
	}
	return slices.Concat(kept, stays, rest)
}
