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
		if at := bytes.LastIndexByte(i.before, '\n'); at >= 0 && len(bytes.Trim(i.before[at:], " \t\n")) == 0 {
			return string(i.before[at+1:])
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
			parts = append(parts, s.renderMember(m, indent+s.indent, broken))
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

func (s style) renderMember(m member, indent string, broken bool) string {
	return string(hujson.String(m.name)) + ":" + s.space + s.render(m.value, indent, broken)
}

// add puts an item behind the last one of an array or object: a value, or a
// member. An empty one is laid out over several lines if broken says so.
func (d *document) add(to *hujson.Value, what any, broken bool) error {
	b := boxOf(to)
	own := indentOf(d.text, b.open)
	write := func(indent string, broken bool) string {
		if m, ok := what.(member); ok {
			return d.style.renderMember(m, indent, broken)
		}
		return d.style.render(what, indent, broken)
	}
	kept, _ := comments(b.tail)
	at := b.close - len(b.tail) + len(kept) // behind the comments

	if len(b.items) == 0 {
		if !b.broken(broken) {
			return d.apply(splice{at, b.close, write("", false)})
		}
		line := d.style.newline + own
		return d.apply(splice{at, b.close, line + d.style.indent + write(own+d.style.indent, true) + line})
	}

	last := b.items[len(b.items)-1]
	var text string
	switch {
	case b.broken(false):
		indent := b.indent(own + d.style.indent)
		text = d.style.newline + indent + write(indent, true)
	case bytes.ContainsRune(d.text[last.start:last.end], '\n'): // [{ and }] stand in one line each
		text = d.style.space + write(indentOf(d.text, last.start), true)
	default:
		text = d.style.space + write("", false)
	}
	if b.trailing {
		return d.apply(splice{at, at, text + ","})
	}
	return d.apply(splice{last.end, last.end, ","}, splice{at, at, text})
}

// remove takes the item with an index out of an array or object, so that what
// add has put there leaves no trace. Comments stay.
func (d *document) remove(from *hujson.Value, index int) error {
	b := boxOf(from)
	it := b.items[index]
	kept, line := comments(it.before)
	start := it.start - len(it.before) + len(kept)
	switch last := index == len(b.items)-1; {
	case len(b.items) == 1:
		end := it.end + len(it.after)
		if b.trailing {
			end++
		}
		after, _ := comments(it.after)
		tail, _ := comments(b.tail)
		if len(kept)+len(after)+len(tail) == 0 {
			end = b.close // it becomes {} or []
		}
		return d.apply(d.cut(start, end, line, it.after))
	case last && !b.trailing:
		before := b.items[index-1]
		comma := before.end + len(before.after)
		return d.apply(splice{comma, comma + 1, ""}, d.cut(start, it.end, line, nil))
	default:
		return d.apply(d.cut(start, it.end+len(it.after)+len(","), line, it.after))
	}
}

// cut is the removal of text[from:to], in which an extra has comments that
// stay. If a line comment stands before it, a line feed must follow.
func (d *document) cut(from, to int, line bool, extra hujson.Extra) splice {
	stays, stillLine := comments(extra)
	if len(stays) > 0 {
		if line {
			stays = append([]byte(d.style.newline), stays...)
		}
		line = stillLine
	}
	if line {
		rest := bytes.TrimLeft(d.text[to:], " \t")
		if bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n")) {
			to = len(d.text) - len(rest)
		} else {
			stays = append(slices.Clip(stays), d.style.newline...)
		}
	}
	return splice{from, to, string(stays)}
}
