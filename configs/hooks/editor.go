package hooks

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"spoolagent/internal/place"
)

// State says how far a tool is connected.
type State string

const (
	None      State = "no"
	Outdated  State = "outdated" // not as Install would do it today, or what it runs is not
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
	// disconnect is the file without our part; nil if that was all.
	disconnect(data []byte) ([]byte, error)
}

// whole is a file that is ours from beginning to end, in its current form. It is
// known by its name, and by what it speaks of.
type whole string

func (w whole) state(data []byte) (State, error) {
	switch {
	case data == nil:
		return None, nil
	case string(data) == string(w):
		return Connected, nil
	case bytes.Contains(bytes.ToLower(data), []byte("spool")):
		return Outdated, nil
	}
	return None, errors.New("is not the spool agent's; move it away first")
}

func (w whole) connect(data []byte) ([]byte, error) {
	_, err := w.state(data)
	return []byte(w), err
}

func (w whole) disconnect(data []byte) ([]byte, error) {
	_, err := w.state(data)
	return nil, err
}

// script is an executable file for one event of a tool, in which nothing is but our
// command. Somebody else's is left alone; it may run hook.sh as well.
type script struct {
	source string // the tool's name
}

func (s script) text() string {
	return shebang + command(runtime.GOOS, program(), s.source) + "\n"
}

func (s script) state(data []byte) (State, error) {
	line := strings.TrimSuffix(strings.TrimPrefix(string(data), shebang), "\n")
	switch {
	case data == nil:
		return None, nil
	case string(data) == s.text():
		return Connected, nil
	case wasInstalled(line):
		return Outdated, nil
	case strings.Contains(line, place.Share+"/"+hookScript):
		return Connected, nil
	}
	return None, foreign("is not the spool agent's")
}

func (s script) connect(data []byte) ([]byte, error) {
	if state, err := s.state(data); err != nil || state == Connected {
		return data, err
	}
	return []byte(s.text()), nil
}

func (s script) disconnect(data []byte) ([]byte, error) {
	if state, err := s.state(data); err != nil || state == Connected && string(data) != s.text() {
		return data, err
	}
	return nil, nil
}

// A block is our part of a git hook, which may be somebody else's script.
//
// It stands before everything else, where no exit can be in front of it. It
// runs the script again, without itself, with the same name, arguments and
// input, and has its status: so theirs is not changed by anything that ours
// does. Then it tells the spool agent, unless it was a pre-push that was refused.
// That this is the second run shows in a variable, which is unset before theirs
// begins. From a terminal, where it is somebody who tries the hook, it does
// nothing: git gives its hooks no terminal. pre-commit(1) runs a hook that it
// found under its name with ".legacy" behind it.
//
// Git LFS takes a hook for its own if nothing but its own text is in the first
// KiB. Otherwise it neither installs nor replaces it, and objects are not pushed.
// So its text comes first, and the block after that KiB, where it cannot have the
// input any more. If Git LFS comes later, a hook that we made pushes for it.
type block struct {
	lfs []byte // the hook that Git LFS installs under this name; nil if it installs none
}

const (
	blockBegin = "# >>> spool agent >>>"
	blockEnd   = "# <<< spool agent <<<\n"
	shebang    = "#!/bin/sh\n"
)

var (
	blockText     = gitHookText[len(shebang) : strings.Index(gitHookText, blockEnd)+len(blockEnd)]
	withoutLFS    = gitHookText[len(shebang)+len(blockText):] // the rest of a hook that we make
	blockAfterLFS = gitHookAfterLFS[len(shebang):]
)

// lfsReads is how much of a hook Git LFS reads.
const lfsReads = 1024

// lfsHook is a hook of Git LFS, and lfsPadded one that goes on behind spaces.
var (
	lfsHook   = lazy("^" + lfsText + "$")
	lfsPadded = lazy("^(" + lfsText + ") *\n")
)

const lfsText = `#!/bin/sh\n(?:command -v git-lfs [^\n]*\n)?git lfs [a-z-]+ "\$@"\n`

// padLFS is a hook of Git LFS as long as what Git LFS reads of it.
func padLFS(data []byte) []byte {
	return slices.Concat(data, bytes.Repeat([]byte(" "), lfsReads-1-len(data)), []byte("\n"))
}

// gitHooks are the hooks of git that tell us what has happened.
var gitHooks = [...]string{"post-commit", "post-checkout", "post-merge", "post-rewrite", "pre-push"}

// A foreign hook is one that the block cannot be put into.
type foreign string

func (f foreign) Error() string { return string(f) }

// without is a hook without the block, nil if that was all, and whether it had one.
func without(data []byte) (theirs []byte, had bool, err error) {
	begin := bytes.Index(data, []byte("\n"+blockBegin))
	if begin < 0 {
		return data, false, nil
	}
	first, ours := data[:begin+1], data[begin+1:]
	_, rest, ended := bytes.Cut(ours, []byte("\n"+blockEnd))
	if !ended {
		return nil, true, fmt.Errorf("has the line %q, but not %q; remove what is left by hand", blockBegin, blockEnd[:len(blockEnd)-1])
	}
	rest = bytes.Replace(rest, []byte(withoutLFS), nil, 1)
	if lfs := lfsPadded().FindSubmatch(first); lfs != nil {
		first = lfs[1]
	}
	if len(rest) == 0 && string(first) == shebang {
		return nil, true, nil
	}
	return slices.Concat(first, rest), true, nil
}

// shellLine is the first line of a script in whose shell the block works.
var shellLine = lazy(`^#![ \t]*(\S*/env[ \t]+(-S[ \t]+)?)?(\S*/)?(sh|bash|dash|ash|ksh|mksh|zsh)([ \t][^\r\n]*)?$`)

// byHand reports whether somebody has a hook run git.sh.
func byHand(data []byte) bool {
	return bytes.Contains(data, []byte(gitScriptPath)) && !bytes.Contains(data, []byte(blockBegin))
}

func (b block) state(data []byte) (State, error) {
	if data == nil {
		return None, nil
	}
	_, had, _ := without(data)
	made, err := b.connect(data)
	switch {
	case err != nil || !had && !byHand(data):
		return None, err
	case !bytes.Equal(made, data):
		return Outdated, nil
	}
	return Connected, nil
}

func (b block) connect(data []byte) ([]byte, error) {
	if byHand(data) {
		return data, nil
	}
	theirs, _, err := without(data)
	if err != nil {
		return nil, err
	}
	if theirs == nil || strings.TrimSuffix(string(theirs), "\n")+"\n" == shebang {
		if b.lfs == nil {
			return []byte(gitHookText), nil
		}
		theirs = b.lfs
	}
	if lfsHook().Match(theirs) && len(theirs) < lfsReads {
		return slices.Concat(padLFS(theirs), []byte(blockAfterLFS)), nil
	}
	first, rest, _ := bytes.Cut(theirs, []byte("\n"))
	if !shellLine().Match(first) {
		return nil, foreign("is not a shell script")
	}
	return slices.Concat(first, []byte("\n"+blockText), rest), nil
}

func (b block) disconnect(data []byte) ([]byte, error) {
	theirs, _, err := without(data)
	return theirs, err
}
