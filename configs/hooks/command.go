package hooks

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"spoolagent/internal/place"
)

// hookProgram is spool-hook's name beside the scripts.
const hookProgram = "bin/spool-hook" + exe

// besideUs returns the path of the spool-hook that came with this program, and
// whether it is in the system, and run there.
func besideUs() (path string, inSystem bool) {
	self, inSystem, err := place.Self()
	if err != nil {
		return "", false
	}
	return filepath.Join(filepath.Dir(self), filepath.Base(hookProgram)), inSystem
}

// program returns the spool-hook that the tools run, by the rule of package place.
// The tilde is for the shell, but Windows has none.
func program() string {
	if path, inSystem := besideUs(); inSystem {
		return path
	}
	if runtime.GOOS == "windows" {
		home, _ := os.UserHomeDir()
		return filepath.ToSlash(filepath.Join(home, place.Share, hookProgram))
	}
	return "~/" + place.Share + "/" + hookProgram
}

// command returns what a tool runs: the program in the shell's place, so that the
// hook is one process. Where the program is missing it is hook.sh, and where that
// is missing, too, the event is read to its end all the same: some shells end
// with status 2 then, by which a hook vetoes what the tool does. It is for every
// sh, zsh and fish.
//
// It prints nothing, except for Antigravity: that parses the answer, and where it
// cannot, the tool call fails.
//
// There is no variable in it, since Gemini CLI puts in their values by itself,
// and no quotes are right for all of them. What becomes of ~ is not split.
// Windows has no such shell: there it is the program alone.
func command(goos, program, source string) string {
	if goos == "windows" {
		if strings.Contains(program, " ") {
			program = `"` + program + `"`
		}
		return program + " " + source
	}
	answer := map[string]string{"antigravity": "echo {}; "}[source]
	return answer + "[ -x " + program + " ] && exec " + program + " " + source + "; sh ~/" + place.Share + "/hook.sh " + source + " 2>/dev/null || cat >/dev/null 2>&1; exit 0"
}

// inQuotes puts text between single quotes, for every sh, zsh and fish: in fish a
// backslash counts there, too.
var (
	inQuotes    = strings.NewReplacer(`'`, `'\''`, `\`, `'\\'`)
	outOfQuotes = strings.NewReplacer(`'\''`, `'`, `'\\'`, `\`)
)

const thenEnd = `' </dev/null >/dev/null 2>&1; exit 0`

// withThen is a hook that runs another command once its own, which has no quotes
// in it, is done. What that prints would be an answer to the tool, and some read
// standard error as well.
func withThen(command, then string) string {
	return "sh -c '" + command + "'; sh -c '" + inQuotes.Replace(then) + thenEnd
}

// parseOurs reports whether a command is one of ours, and which other it runs.
func parseOurs(text string) (then string, ours bool) {
	rest, two := strings.CutPrefix(text, "sh -c '")
	if !two {
		return "", wasInstalled(text)
	}
	own, quoted, _ := strings.Cut(rest, "'; sh -c '")
	then = outOfQuotes.Replace(strings.TrimSuffix(quoted, thenEnd))
	return then, wasInstalled(own) && text == withThen(own, then)
}

// earlier are the commands that earlier versions printed or installed.
var earlier = []string{
	`sh ~/` + place.Share + `/hook.sh >/dev/null 2>&1 || cat >/dev/null 2>&1; exit 0`,
	`sh "$HOME/` + place.Share + `/hook.sh"`,
}

// lazy compiles an expression when it is first needed, for each start of the program
// would wait for it.
func lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// commandForm is the form of what command returns, for a shell or for Windows.
var commandForm = lazy(`^(?:(?:echo \{\}; )?\[ -x (\S+) \] && exec \S+ ([a-z]+);.*|"?(.+\.exe)"? ([a-z]+))$`)

// wasInstalled reports whether some version installs or has installed this
// command, from whatever place. A hook is ours if it runs such a command, and
// nothing else but what Install was told to have it run.
func wasInstalled(text string) bool {
	is := commandForm().FindStringSubmatch(text)
	if is == nil {
		return slices.Contains(earlier, text)
	}
	goos := "unix"
	if is[3] != "" {
		goos = "windows"
	}
	program, source := is[1]+is[3], is[2]+is[4]
	return strings.TrimSuffix(path.Base(program), ".exe") == "spool-hook" && text == command(goos, program, source)
}
