package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSampleIsDefault(t *testing.T) {
	got, err := ParseConfig([]byte(SampleConfig()), "config.toml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("sample as shipped (-default +sample):\n%s", diff)
	}
}

// The values that the sample shows are the defaults, and it shows every key.
func TestSampleShowsDefaults(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#(\w+ = )`).ReplaceAllString(SampleConfig(), "$1")
	got, err := ParseConfig([]byte(text), "config.toml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("sample with its settings taken (-default +sample):\n%s", diff)
	}
	for field := range reflect.TypeFor[Config]().Fields() {
		if key := field.Tag.Get("toml"); key != "-" && !strings.Contains(text, "\n"+key+" = ") {
			t.Errorf("the sample lacks %s", key)
		}
	}
}

func TestParseConfig(t *testing.T) {
	t.Setenv("HOME", "/home/u")
	got, err := ParseConfig([]byte(`
projects = ["~/work", '/srv/a b']
cap = 0
max_drop = "64KiB"
max_payload = "1MiB"
reply_ttl = "1h30m"
fsync = false
log_level = "debug"
scan_interval = "2s"
`), "config.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Projects:     []string{"/home/u/work", "/srv/a b"},
		MaxDrop:      64 << 10,
		MaxPayload:   1 << 20,
		ReplyTTL:     Duration(90 * time.Minute),
		LogLevel:     "debug",
		ScanInterval: Duration(2 * time.Second),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseConfigErrors(t *testing.T) {
	const all = "; 'agent print config' shows all keys"
	tests := []struct{ text, want string }{
		{"# a comment\n\ncapp = 3\n", `c:3: unknown key "capp"` + all},
		{"cap = 3\nmax_paylod = 1", `c:2: unknown key "max_paylod"` + all},
		{"max-drop = 3", `c:1: unknown key "max-drop"` + all},
		{"patterns = []", `c:1: unknown key "patterns"` + all},
		{`"\u001b[31m" = 3`, `c:1: unknown key "\x1b[31m"` + all},
		{"cap.x = 3", `c:1: cap.x: cannot decode TOML table`},
		{"projects = [\n'/a',\n'/b']\nq = 1", `c:4: unknown key "q"` + all},
		{"cap = 1\n[agent]\ncap = 1", `c:2: unknown key "agent"` + all},
		{"[[projects]]", `c:1: projects: cannot store a table in a string`},
		{"fsync = true\ncap = \"9\"", `c:2: cap: must be a whole number, such as cap = 100`},
		{"cap = -1", `c: cap: must be from 0 to 2147483647`},
		{"cap = 1.5", `c:1: cap: must be a whole number, such as cap = 100`},
		{"cap = 2147483648", `c: cap: must be from 0 to 2147483647`},
		{"max_payload = 255", `c: max_payload: must be from 256 to 1MiB`},
		{"max_payload = -4096", `c: max_payload: must be from 256 to 1MiB`},
		{`max_payload = "2MiB"`, `c: max_payload: must be from 256 to 1MiB`},
		{`max_drop = "99999999999999999999MiB"`, `c:1: max_drop: a size must be such as 4096, "64KiB" or "1MiB"`},
		{`max_drop = "2147483647MiB"`, `c: max_drop: must be from 1KiB to 1024MiB`},
		{`max_drop = "1MB"`, `c:1: max_drop: a size must be such as 4096, "64KiB" or "1MiB"`},
		{`max_drop = "-1KiB"`, `c: max_drop: must be from 1KiB to 1024MiB`},
		{`max_drop = true`, `c: a size must be such as 4096, "64KiB" or "1MiB"`},
		{`reply_ttl = 600`, `c: reply_ttl: must be from 1s to 720h`},
		{`reply_ttl = "10"`, `c:1: reply_ttl: a time must be such as "90s" or "10m"`},
		{`reply_ttl = "999ms"`, `c: reply_ttl: must be from 1s to 720h`},
		{`scan_interval = "25h"`, `c: scan_interval: must be from 1s to 24h`},
		{`fsync = "yes"`, `c:1: fsync: must be true or false`},
		{`log_level = ""`, `c: log_level: must be one of trace, debug, info, warn, error`},
		{`log_level = 3`, `c:1: log_level: must be a text, such as log_level = "info"`},
		{`projects = "/a"`, `c:1: projects: must be a list of texts, such as projects = ["~/code/one"]`},
		{`projects = [1]`, `c:1: projects: must be a list of texts, such as projects = ["~/code/one"]`},
		{`projects = ["a"]`, `c: projects: "a" must be absolute or begin with ~/`},
		{`projects = ["~root"]`, `c: projects: "~root" must be absolute or begin with ~/`},
		{`projects = [""]`, `c: projects: "" must be absolute or begin with ~/`},
		{`projects = ["/a\u0000"]`, `c: projects: "/a\x00" must be absolute or begin with ~/`},
		{`projects = ["/a/["]`, `c: projects: "/a/[" is no pattern: a [ has no ]`},
		{"cap = 1\ncap = 2", `c:2: cap: key cap is already defined`},
		{"cap = 1\n\nfsync = \n", `c:3: unexpected character U+000A at start of value`},
	}
	for _, test := range tests {
		c, err := ParseConfig([]byte(test.text), "c")
		if err == nil {
			t.Errorf("%q gave %+v, want the error %s", test.text, c, test.want)
		} else if err.Error() != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.text, err, test.want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	t.Setenv("HOME", home)
	path := filepath.Join(dir, "config.toml")
	write(t, path, `projects = ["~", "~/a//b/", "/c/./d"]`)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{home, filepath.Join(home, "a", "b"), "/c/d"}
	if diff := cmp.Diff(want, c.Projects); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if _, err := Load(filepath.Join(dir, "none.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}

	write(t, path, "\ncapp = 1")
	_, err = Load(path)
	if want := path + `:2: unknown key "capp"; 'agent print config' shows all keys`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	write(t, path, strings.Repeat("#", maxFile))
	if _, err := Load(path); err != nil {
		t.Errorf("a file of the greatest size: %v", err)
	}
	write(t, path, strings.Repeat("#", maxFile+1))
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "of at most 64 KiB") {
		t.Errorf("a file too large gives %v", err)
	}

	if _, err := Load(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory gives %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(SampleConfig()))
	f.Add([]byte("projects = ['/a', \"~/b\"]\ncap = 0x10\nmax_drop = \"64KiB\"\nreply_ttl = \"1h\""))
	f.Add([]byte("[a.b]\n[[c]]\n\"d\".e = {f = 1979-05-27T07:32:00Z, g = [[1.5, inf], '''\n''']}"))
	f.Add([]byte("cap = 1\ncap = 2"))
	f.Add([]byte("max_payload = \"\xff\""))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data, "c")
		if err != nil {
			if !regexp.MustCompile(`^c:([1-9][0-9]*:)? .`).MatchString(err.Error()) {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		if c.Cap < 0 || c.MaxPayload < 256 || c.MaxDrop < 1024 || c.ReplyTTL < Duration(time.Second) ||
			c.ScanInterval < Duration(time.Second) || c.LogLevel == "" {
			t.Errorf("out of bounds: %+v", c)
		}
	})
}
