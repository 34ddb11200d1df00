package hooks

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/tailscale/hujson"
)

// settings edits a tool's settings: a JSON object with a member "hooks", or one of
// our name, in which each event has an array. Its elements are hooks or, in most
// tools, groups with a matcher and with the hooks proper in an array of their own.
type settings struct {
	source  string // the tool's name
	form    string // an element: COMMAND and SECONDS stand for what becomes of them
	version int    // of the format, in a member "version"; 0: it has none
	under   string // the member that has the events, if not "hooks"
	events  []event
	then    string // a command that the hooks run as well, where an event has time for it
}

// An event of a tool, and how long its hook may take.
type event struct {
	name    string
	seconds int
	then    int    // seconds with another command; 0: it cannot run one
	form    string // if another than that of the settings
}

// on is for events at which only a signal is left, and ends for those at the end
// of a turn or a session, and before a compaction.
func on(seconds int, names ...string) []event { return ends(seconds, 0, names...) }

func ends(seconds, then int, names ...string) (events []event) {
	for _, name := range names {
		events = append(events, event{name, seconds, then, ""})
	}
	return events
}

// element is what belongs into the event's array.
func (s settings) element(e event) string {
	text, seconds := s.command(), e.seconds
	if e.then > 0 && s.then != "" {
		text, seconds = withThen(text, s.then), e.then
	}
	return strings.NewReplacer("COMMAND", quoted(text), "SECONDS", strconv.Itoa(seconds)).Replace(cmp.Or(e.form, s.form))
}

// quoted is text in JSON, which is the same in TOML.
func quoted(text string) string { return string(hujson.String(text)) }

func (s settings) member() string { return cmp.Or(s.under, "hooks") }

func (s settings) command() string { return command(runtime.GOOS, program(), s.source) }

// commandsIn are the commands in an element of an event's array.
func commandsIn(element any) (commands []string) {
	hooks, ok := at(element, "hooks").([]any)
	if !ok {
		hooks = []any{element}
	}
	for _, hook := range hooks {
		text, _ := at(hook, "command").(string)
		commands = append(commands, text)
	}
	return commands
}

// open reads a document and what its hooks mean. It refuses one in which what we
// need is not what it should be.
func (s settings) open(data []byte) (d *document, hooks map[string]any, err error) {
	if d, err = parse(data); err != nil {
		return nil, nil, err
	}
	root, ok := d.meaning.(map[string]any)
	if !ok {
		return nil, nil, errors.New("is not a JSON object; fix it first")
	}
	hooks, ok = root[s.member()].(map[string]any)
	if _, there := root[s.member()]; there && !ok {
		return nil, nil, fmt.Errorf("has a member %q that is not an object; make it {} or remove it first", s.member())
	}
	for _, e := range s.events {
		list, there := hooks[e.name]
		if _, ok := list.([]any); there && !ok {
			return nil, nil, fmt.Errorf("has hooks of %q that are not an array; make them [] or remove them first", e.name)
		}
	}
	return d, hooks, nil
}

// look is the state of a file, and the other command that the hooks in it run: the
// state is the same whatever that is. What others have put there, in whatever form,
// is passed over.
func (s settings) look(data []byte) (state State, then string, err error) {
	_, hooks, err := s.open(data)
	if err != nil {
		return None, "", err
	}
	ours := map[string][]any{} // elements by event
	for name, list := range hooks {
		elements, _ := list.([]any)
		for _, element := range elements {
			for _, text := range commandsIn(element) {
				if other, is := parseOurs(text); is {
					ours[name] = append(ours[name], element)
					then = cmp.Or(then, other)
				}
			}
		}
	}
	if len(ours) == 0 {
		return None, "", nil
	}
	s.then = then
	for _, e := range s.events {
		var want any
		if err := json.Unmarshal([]byte(s.element(e)), &want); err != nil {
			return None, "", err
		}
		if got := ours[e.name]; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			return Outdated, then, nil
		}
		delete(ours, e.name)
	}
	if len(ours) > 0 { // an event that is not connected any more
		return Outdated, then, nil
	}
	return Connected, then, nil
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
	d, _, err := s.open(data)
	if err != nil {
		return nil, err
	}
	s.strip(d, false)
	if s.version > 0 && memberOf(&d.root, "version") == nil {
		d.add(&d.root, 0, "version", strconv.Itoa(s.version))
	}
	hooks := memberOf(&d.root, s.member())
	if hooks == nil {
		hooks = d.add(&d.root, 0, s.member(), "{}")
	}
	for _, e := range s.events {
		list := memberOf(hooks, e.name)
		if list == nil {
			list = d.add(hooks, 1, e.name, "[]")
		}
		d.add(list, 2, "", s.element(e))
	}
	if state, err := s.state(d.bytes()); err != nil || state != Connected {
		return nil, errors.New("could not be edited; 'agent hooks print' shows what belongs into it")
	}
	return d.bytes(), nil
}

// disconnect removes our hooks, and the arrays and objects that this leaves empty.
func (s settings) disconnect(data []byte) ([]byte, error) {
	d, _, err := s.open(data)
	if err != nil {
		return nil, err
	}
	s.strip(d, true)
	return d.bytes(), nil
}

// strip removes our hooks from a document, and what they leave empty; if not all,
// then not the arrays that get other hooks of ours.
func (s settings) strip(d *document, all bool) {
	hooks := memberOf(&d.root, s.member())
	if hooks == nil {
		return
	}
	element := func(v *hujson.Value) bool {
		inner := memberOf(v, "hooks")
		if inner == nil || !d.removeIf(inner, isOurs) {
			return isOurs(v)
		}
		items, _ := itemsOf(inner)
		return len(items) == 0
	}
	stays := map[*hujson.Value]bool{}
	for _, e := range s.events {
		stays[memberOf(hooks, e.name)] = !all
	}
	d.removeIf(&d.root, func(v *hujson.Value) bool {
		return v == hooks && d.removeIf(hooks, func(list *hujson.Value) bool {
			return d.removeIf(list, element) && hollow(list) && !stays[list]
		}) && hollow(hooks) && all
	})
}

func isOurs(hook *hujson.Value) bool {
	command := memberOf(hook, "command")
	if command == nil || command.Value.Kind() != '"' {
		return false
	}
	_, ours := parseOurs(command.Value.(hujson.Literal).String())
	return ours
}
