//go:build unix

package agenttest

import (
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed testdata/places.json
var placesJSON []byte

// Place is a directory in which a producer starts, and the project that it is to
// find from there.
type Place struct {
	Home  string // the home directory
	Start string // the working directory; it may be a link
	Want  string // the project, by the path without links; "" if nothing is to be stored

	top   string
	drops int
}

// EachPlace runs a test for each case of the table in testdata/places.json. A
// case is a tree of files: a name that ends in a slash is a directory, "a -> b" a
// link. Foreign is what belongs to another user; that takes root, and is left out
// without.
func EachPlace(t *testing.T, test func(t *testing.T, p Place)) {
	var cases []struct {
		Name, Foreign, Start, Want string
		Make                       []string
	}
	if err := json.Unmarshal(placesJSON, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Foreign != "" && os.Getuid() != 0 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			top, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range append([]string{"home/"}, c.Make...) {
				makePlace(t, top, name)
			}
			if c.Foreign != "" {
				if err := os.Chown(filepath.Join(top, c.Foreign), 65534, 65534); err != nil {
					t.Fatal(err)
				}
			}
			p := Place{Home: filepath.Join(top, "home"), Start: filepath.Join(top, c.Start), top: top}
			if c.Want != "" {
				p.Want = filepath.Join(top, c.Want)
			}
			test(t, p)
		})
	}
}

func makePlace(t *testing.T, top, name string) {
	t.Helper()
	name, target, link := strings.Cut(name, " -> ")
	path := filepath.Join(top, name)
	dir := filepath.Dir(path)
	if strings.HasSuffix(name, "/") {
		dir = path
	}
	err := os.MkdirAll(dir, 0o700)
	switch {
	case err != nil:
	case link:
		err = os.Symlink(target, path)
	case dir != path:
		err = os.WriteFile(path, nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// CheckDrops checks after each drop from this place that one more has been
// stored, in the wanted project, and none elsewhere.
func (p *Place) CheckDrops(t *testing.T) {
	t.Helper()
	p.drops++
	found := 0
	err := filepath.WalkDir(p.top, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "incoming" {
			return err
		}
		names, err := os.ReadDir(path)
		if project := filepath.Dir(filepath.Dir(path)); project != p.Want && len(names) > 0 {
			t.Errorf("stored in %s, want %q", project, p.Want)
		}
		found += len(names)
		return err
	})
	want := p.drops
	if p.Want == "" {
		want = 0
	}
	if err != nil || found != want {
		t.Errorf("%d drops, want %d, in %q (%v)", found, want, p.Want, err)
	}
}
