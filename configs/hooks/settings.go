package hooks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"

	"github.com/tailscale/hujson"
)

// settings edits a tool's settings: a JSON object with a member "hooks", in
// which each event has an array of hooks. In the nested form these are groups,
// with a matcher and with the hooks proper in an array of their own.
type settings struct {
	source   string // the tool's name
	events   []event
	matchers map[string]string // of the groups of some events; only in the nested form
	nested   bool
	version  int // of the format, in a member "version"; 0: it has none

	ends []event // those of the events at which it can run another command, with more time
	then string  // that command; empty: none
}

// An event of a tool, and the hook that it gets.
type event struct {
	name string
	hook object // without the command
}

// each has the same hook in several events.
func each(hook object, names ...string) (events []event) {
	for _, name := range names {
		events = append(events, event{name, hook})
	}
	return events
}

// group is what belongs into the event's array.
func (s settings) group(e event) object {
	command := s.command()
	if i := named(s.ends, e.name); i >= 0 && s.then != "" {
		e, command = s.ends[i], withThen(command, s.then)
	}
	if !s.nested {
		return append(object{{"command", command}}, e.hook...)
	}
	group := object{{"hooks", array{append(object{{"type", "command"}, {"command", command}}, e.hook...)}}}
	if matcher, ok := s.matchers[e.name]; ok {
		group = append(object{{"matcher", matcher}}, group...)
	}
	return group
}

// hooksOf is the document's "hooks" and its index; nil if it has none.
func (s settings) hooksOf(d *document) (hooks *hujson.Value, index int, err error) {
	root, ok := d.root.Value.(*hujson.Object)
	if !ok {
		return nil, 0, d.errorAt(d.root.StartOffset, "is not a JSON object; fix it first")
	}
	if err := d.unique(root); err != nil {
		return nil, 0, err
	}
	i := indexOf(root, "hooks")
	if i < 0 {
		return nil, 0, nil
	}
	hooks = &root.Members[i].Value
	o, ok := hooks.Value.(*hujson.Object)
	if !ok {
		return nil, 0, d.errorAt(hooks.StartOffset, `"hooks" is %.40s, not an object; make it {} or remove it first`, plain(hooks))
	}
	return hooks, i, d.unique(o)
}

// unique refuses an object in which a name comes twice: which of them counts
// depends on who reads it.
func (d *document) unique(o *hujson.Object) error {
	if i := twice(o); i >= 0 {
		return d.errorAt(o.Members[i].Name.StartOffset, "%.100q is there twice; remove one of them first", nameOf(o.Members[i]))
	}
	return nil
}

// twice is the index of the first member whose name was there before; or -1.
func twice(o *hujson.Object) int {
	seen := map[string]bool{}
	return slices.IndexFunc(o.Members, func(m hujson.ObjectMember) bool {
		name := nameOf(m)
		again := seen[name]
		seen[name] = true
		return again
	})
}

func nameOf(m hujson.ObjectMember) string { return m.Name.Value.(hujson.Literal).String() }

// memberOf is the member's value in an object that has no name twice; or nil.
func memberOf(v *hujson.Value, name string) *hujson.Value {
	o, ok := v.Value.(*hujson.Object)
	if !ok || twice(o) >= 0 {
		return nil
	}
	if i := indexOf(o, name); i >= 0 {
		return &o.Members[i].Value
	}
	return nil
}

func indexOf(o *hujson.Object, name string) int {
	return slices.IndexFunc(o.Members, func(m hujson.ObjectMember) bool { return nameOf(m) == name })
}

// named is the index of the event of that name, or -1.
func named(events []event, name string) int {
	return slices.IndexFunc(events, func(e event) bool { return e.name == name })
}

// maxFinds is more than there are events. Each removal reads the file anew.
const maxFinds = 100

// A find is a hook of ours in a document.
type find struct {
	event   int    // the index of its member in "hooks"
	group   int    // its index in the event's array
	hook    int    // in the nested form, its index in the group
	alone   bool   // nothing else is in its group
	current bool   // it is as it would be installed
	then    string // the other command that it runs; empty: none
}

// finds are all hooks of ours. What others have put there, in whatever form,
// is passed over.
func (s settings) finds(hooks *hujson.Value) (found []find) {
	for e, m := range hooks.Value.(*hujson.Object).Members {
		groups, ok := m.Value.Value.(*hujson.Array)
		if !ok {
			continue
		}
		wanted := named(s.events, nameOf(m))
		for g := range groups.Elements {
			group := &groups.Elements[g]
			current := func() bool { return wanted >= 0 && equal(group, s.group(s.events[wanted])) }
			if !s.nested {
				if then, ours := isOurs(group); ours {
					found = append(found, find{e, g, 0, true, current(), then})
				}
				continue
			}
			inner := memberOf(group, "hooks")
			if inner == nil {
				continue
			}
			list, ok := inner.Value.(*hujson.Array)
			if !ok {
				continue
			}
			for h := range list.Elements {
				if then, ours := isOurs(&list.Elements[h]); ours {
					found = append(found, find{e, g, h, len(list.Elements) == 1, current(), then})
				}
			}
		}
	}
	return found
}

// plain is a value without comments, in one line.
func plain(v *hujson.Value) string {
	c := v.Clone()
	c.Minimize()
	return string(c.Pack())
}

// equal reports whether a value in a document means what would be written.
func equal(v *hujson.Value, want any) bool {
	var a, b any
	return json.Unmarshal([]byte(plain(v)), &a) == nil &&
		json.Unmarshal([]byte(style{}.render(want, "", false)), &b) == nil && reflect.DeepEqual(a, b)
}

func (s settings) command() string { return command(runtime.GOOS, program(), s.source) }

// look is the state of a file, and the other command that the hooks in it run: the
// state is the same whatever that is.
func (s settings) look(data []byte) (state State, then string, err error) {
	d, err := parse(data)
	if err != nil {
		return None, "", err
	}
	hooks, _, err := s.hooksOf(d)
	if err != nil || hooks == nil {
		return None, "", err
	}
	s.then = ""
	for _, f := range s.finds(hooks) {
		s.then = cmp.Or(s.then, f.then)
	}
	found := s.finds(hooks)
	current := map[int]int{}
	for _, f := range found {
		if !f.current {
			return Outdated, s.then, nil
		}
		current[f.event]++
	}
	switch {
	case len(found) == 0:
		return None, "", nil
	case len(current) < len(found): // twice in one event
		return Outdated, s.then, nil
	case len(current) < len(s.events):
		return Partly, s.then, nil
	}
	return Connected, s.then, nil
}

func (s settings) state(data []byte) (State, error) {
	state, _, err := s.look(data)
	return state, err
}

// connect keeps the other command that the hooks run, unless it has one.
func (s settings) connect(data []byte) ([]byte, error) {
	state, then, err := s.look(data)
	s.then = cmp.Or(s.then, then)
	if err != nil || state == Connected && then == s.then {
		return data, err
	}
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	if err := s.check(d); err != nil {
		return nil, err
	}
	// What is not as it should be goes, and comes again as it should be.
	known := func(event string) bool { return event == "" || named(s.events, event) >= 0 }
	if err := s.prune(d, func(f find) bool { return !f.current }, known); err != nil {
		return nil, err
	}
	root := func() *hujson.Object { return d.root.Value.(*hujson.Object) }
	if s.version > 0 && indexOf(root(), "version") < 0 {
		if err := d.add(&d.root, member{"version", s.version}, true); err != nil {
			return nil, err
		}
	}
	lines := boxOf(&d.root).broken(true)
	if indexOf(root(), "hooks") < 0 {
		all := object{}
		for _, e := range s.events {
			all = append(all, member{e.name, array{s.group(e)}})
		}
		if err := d.add(&d.root, member{"hooks", all}, true); err != nil {
			return nil, err
		}
	}
	for _, e := range s.events {
		hooks, _, err := s.hooksOf(d)
		if err != nil {
			return nil, err
		}
		lines := boxOf(hooks).broken(lines)
		o := hooks.Value.(*hujson.Object)
		switch i := indexOf(o, e.name); {
		case i < 0:
			err = d.add(hooks, member{e.name, array{s.group(e)}}, lines)
		case !slices.ContainsFunc(s.finds(hooks), func(f find) bool { return f.event == i }):
			err = d.add(&o.Members[i].Value, s.group(e), lines)
		}
		if err != nil {
			return nil, err
		}
	}
	if state, err := s.state(d.bytes()); err != nil || state != Connected {
		return nil, errors.New("could not be edited; 'agent hooks print' shows what belongs into it")
	}
	return d.bytes(), nil
}

// check refuses a document in which what we need is not what it should be.
func (s settings) check(d *document) error {
	hooks, _, err := s.hooksOf(d)
	if err != nil || hooks == nil {
		return err
	}
	for _, m := range hooks.Value.(*hujson.Object).Members {
		name := nameOf(m)
		if _, ok := m.Value.Value.(*hujson.Array); !ok && named(s.events, name) >= 0 {
			return d.errorAt(m.Value.StartOffset, "the hooks of %q are %.40s, not an array; make it [] or remove it first", name, plain(&m.Value))
		}
	}
	return nil
}

// prune removes the hooks of ours that match. What holds nothing any more goes
// as well, unless keep says that it stays: an event by its name, and "hooks"
// itself by "". Nor does what has comments.
func (s settings) prune(d *document, match func(find) bool, keep func(event string) bool) error {
	seen := map[string]bool{} // events that have a current one
	for {
		hooks, index, err := s.hooksOf(d)
		if err != nil || hooks == nil {
			return err
		}
		o := hooks.Value.(*hujson.Object)
		found := s.finds(hooks)
		if len(found) > maxFinds {
			return fmt.Errorf("has %d hooks of the spool agent; remove them by hand first", len(found))
		}
		clear(seen)
		i := slices.IndexFunc(found, func(f find) bool {
			name := nameOf(o.Members[f.event])
			again := f.current && seen[name]
			seen[name] = seen[name] || f.current
			return again || match(f)
		})
		if i < 0 {
			return nil
		}
		f := found[i]
		m := &o.Members[f.event]
		groups := m.Value.Value.(*hujson.Array)
		switch {
		case !f.alone:
			err = d.remove(memberOf(&groups.Elements[f.group], "hooks"), f.hook)
		case len(groups.Elements) > 1 || keep(nameOf(*m)) || remarked(m):
			err = d.remove(&m.Value, f.group)
		case len(o.Members) > 1 || keep("") || remarked(&d.root.Value.(*hujson.Object).Members[index]):
			err = d.remove(hooks, f.event)
		default:
			err = d.remove(&d.root, index)
		}
		if err != nil {
			return err
		}
	}
}

// remarked reports whether there are comments in a member, around the items of
// its value.
func remarked(m *hujson.ObjectMember) bool {
	b := boxOf(&m.Value)
	extras := []hujson.Extra{m.Name.AfterExtra, m.Value.BeforeExtra, *b.tail}
	for _, i := range b.items {
		extras = append(extras, i.first.BeforeExtra, i.last.AfterExtra)
	}
	return slices.ContainsFunc(extras, func(e hujson.Extra) bool {
		kept, _ := comments(e)
		return len(kept) > 0
	})
}

// disconnect removes our hooks, and the empty arrays and objects that they
// leave, unless they were there before.
func (s settings) disconnect(data, before []byte) ([]byte, error) {
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	had := map[string]bool{}
	if old, err := parse(before); err == nil && before != nil {
		if hooks, _, err := s.hooksOf(old); err == nil && hooks != nil {
			had[""] = true
			for _, m := range hooks.Value.(*hujson.Object).Members {
				had[nameOf(m)] = true
			}
		}
	}
	err = s.prune(d, func(find) bool { return true }, func(event string) bool { return had[event] })
	return d.bytes(), err
}
