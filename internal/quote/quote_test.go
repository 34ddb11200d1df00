package quote

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A shell gets the path back, and a terminal nothing that is not to be printed.
func TestShellIsThePath(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash, which knows $'...'")
	}
	check := func(t rapid.TB, path string) {
		word := Shell(path)
		if word != Text(word) && strings.HasPrefix(word, "$'") {
			t.Fatalf("%q is not fit to be printed", word)
		}
		out, err := exec.Command(bash, "-c", "printf %s "+word).Output()
		if err != nil || string(out) != path {
			t.Fatalf("%q as %s is %q to a shell (%v)", path, word, out, err)
		}
	}
	for _, path := range []string{"/a/b", "/it's", "~/x", "/a b", "/$(id)", "/\n\x1b[31m\xff1", "/ä", "/a\\'\x01", ""} {
		check(t, path)
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 20).Draw(t, "path")
		check(t, string(b))
	})
}
