package hooks

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"spoolagent/internal/place"
)

// State says how far a tool is connected.
type State string

const (
	None      State = "no"
	Partly    State = "partly"   // some of its events are not
	Outdated  State = "outdated" // not as Install would do it today
	Connected State = "yes"
	Gone      State = "gone" // somebody else has taken the hooks out again
)

// An editor knows our part of a file. Its methods touch no file: data is what
// the file has, nil if there is none.
type editor interface {
	state(data []byte) (State, error)
	// connect is the file with our part as it should be. If it is already, it
	// is data itself. It is never nil.
	connect(data []byte) ([]byte, error)
	// disconnect is the file without our part; nil if that was all. Before is
	// what the file had when we first changed it, or nil.
	disconnect(data, before []byte) ([]byte, error)
}

// whole is a file that is ours from beginning to end, in its current form. Its
// first line is what it is known by.
type whole string

func (w whole) state(data []byte) (State, error) {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	switch {
	case data == nil:
		return None, nil
	case string(data) == string(w):
		return Connected, nil
	case strings.HasPrefix(string(w), string(first)+"\n"):
		return Outdated, nil
	}
	return None, errors.New("is not the spool agent's; move it away first")
}

func (w whole) connect(data []byte) ([]byte, error) {
	_, err := w.state(data)
	return []byte(w), err
}

func (w whole) disconnect(data, _ []byte) ([]byte, error) {
	_, err := w.state(data)
	return nil, err
}

// A block is our part of a git hook, which may be somebody else's script.
//
// It stands before everything else, where no exit can be in front of it. It
// runs the script again, without itself, with the same name, arguments and
// input, and has its status: so theirs is not changed by anything that ours
// does. Then it tells the spool agent, unless it was a pre-push that was refused.
// That this is the second run shows in a variable with the script's path, which
// also ends any chain of hooks that cause one another. From a terminal, where it
// is somebody who tries the hook, it does nothing: git gives its hooks no terminal.
type block struct{}

const (
	blockBegin = "# >>> spool agent >>>"
	blockEnd   = "# <<< spool agent <<<"
	blockText  = blockBegin + ` 'agent hooks uninstall git' removes these lines
if [ "${SPOOL_AGENT_HOOK-}" != "$PWD/$0" ] && [ -x "$0" ] && [ "${0##*/}" != "$0" ] &&
	[ ! -t 0 ] && [ -r "${HOME-}/` + place.Share + "/" + gitScript + `" ]; then
	spool_status=0
	case ${0##*/} in
	pre-push | post-rewrite)
		spool_input=$(cat && echo .)
		printf %s "${spool_input%.}" 2>/dev/null |
			SPOOL_AGENT_HOOK=$PWD/$0 "$0" "$@" || spool_status=$?
		;;
	*)
		spool_input=
		SPOOL_AGENT_HOOK=$PWD/$0 "$0" "$@" || spool_status=$?
		;;
	esac
	case ${0##*/}:$spool_status in
	pre-push:0 | post-*)
		printf %s "${spool_input%.}" 2>/dev/null |
			sh "$HOME/` + place.Share + "/" + gitScript + `" "${0##*/}" "$@" >/dev/null 2>&1 || :
		;;
	esac
	exit "$spool_status"
fi
` + blockEnd + "\n"
	shebang = "#!/bin/sh\n"
)

// gitHooks are the hooks of git that tell us what has happened.
var gitHooks = [...]string{"post-commit", "post-checkout", "post-merge", "post-rewrite", "pre-push"}

// A foreign hook is one that the block cannot be put into.
type foreign string

func (f foreign) Error() string { return string(f) }

// split finds the block. Without one, from and to are where it belongs.
func (block) split(data []byte) (from, to int, err error) {
	from = bytes.IndexByte(data, '\n') + 1
	if from == 0 {
		from = len(data)
	}
	if !isShell(data[:from]) {
		return 0, 0, foreign("is not a shell script")
	}
	begin := bytes.Index(data, []byte("\n"+blockBegin))
	if begin < 0 {
		return from, from, nil
	}
	begin++
	length := bytes.Index(data[begin:], []byte("\n"+blockEnd+"\n"))
	if length < 0 {
		return 0, 0, fmt.Errorf("has the line %q, but not %q; remove what is left by hand", blockBegin, blockEnd)
	}
	return begin, begin + length + len("\n"+blockEnd+"\n"), nil
}

// isShell reports whether a script's first line is that of a shell in which
// the block works.
func isShell(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("#!"))
	if !ok || bytes.Contains(line, []byte("\r")) {
		return false
	}
	fields := strings.Fields(string(rest))
	if len(fields) > 1 && path.Base(fields[0]) == "env" {
		fields = fields[1:]
		if len(fields) > 1 && fields[0] == "-S" {
			fields = fields[1:]
		}
	}
	return len(fields) > 0 && slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"}, path.Base(fields[0]))
}

func (b block) state(data []byte) (State, error) {
	if data == nil {
		return None, nil
	}
	from, to, err := b.split(data)
	switch {
	case err != nil || from == to:
		return None, err
	case string(data[from:to]) != blockText:
		return Outdated, nil
	}
	return Connected, nil
}

func (b block) connect(data []byte) ([]byte, error) {
	if data == nil {
		return []byte(shebang + blockText), nil
	}
	from, to, err := b.split(data)
	if err != nil {
		return nil, err
	}
	first, rest := data[:from], data[to:]
	if !bytes.HasSuffix(first, []byte("\n")) {
		first = append(slices.Clip(first), '\n')
	}
	return slices.Concat(first, []byte(blockText), rest), nil
}

func (b block) disconnect(data, before []byte) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	from, to, err := b.split(data)
	if err != nil {
		return nil, err
	}
	rest := slices.Concat(data[:from], data[to:])
	if before == nil && from != to && string(rest) == shebang {
		return nil, nil
	}
	return rest, nil
}
