package quote

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A shell gets the path back, and runs nothing of it; a terminal gets nothing that is
// not to be printed.
func TestShellIsThePath(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	check := func(t rapid.TB, path string) {
		word := Shell(path)
		if word != Line(word) {
			t.Fatalf("%q is not fit to be printed", word)
		}
		out, err := exec.Command("sh", "-c", "printf %s "+word).Output()
		if err != nil || string(out) != Line(path) {
			t.Fatalf("%q as %s is %q to a shell (%v)", path, word, out, err)
		}
	}
	for _, path := range []string{"/a/b", "/it's", "~/x", "/a b", "/$(id)", "/\n$(id)'\x1b[31m\xff1", "/ä", "/a\\'\x01", "",
		"/" + strings.Repeat("long ", long)} {
		check(t, path)
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 20).Draw(t, "path")
		check(t, string(b))
	})
}
