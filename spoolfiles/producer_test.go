package spoolfiles

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestOff(t *testing.T) {
	project := t.TempDir()
	s, err := Create(project)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	set := func(off bool) {
		t.Helper()
		if off {
			must(t, os.WriteFile(filepath.Join(s.Root.Path(), OffName), nil, 0o600))
		} else {
			must(t, os.Remove(filepath.Join(s.Root.Path(), OffName)))
		}
		if s.Off() != off {
			t.Errorf("off: %t, want %t", s.Off(), off)
		}
	}
	count := func(want int) {
		t.Helper()
		if err := Drop(project, []byte("{}")); err != nil {
			t.Error(err)
		}
		if n, err := s.CountDrops(); n != want || err != nil {
			t.Errorf("%d drops, want %d (%v)", n, want, err)
		}
	}
	count(1)
	set(true)
	count(1)
	if _, err := OpenToDrop(project); !errors.Is(err, ErrOff) {
		t.Errorf("opened: %v", err)
	}
	set(false)
	count(2)
}

// Content that does not come whole, or is empty, becomes no drop.
func TestDropContent(t *testing.T) {
	s, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, content := range []io.WriterTo{
		strings.NewReader(""),
		bufio.NewReader(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(errors.New("broken")))),
	} {
		if err := s.DropContent("x.json", content); err == nil {
			t.Error("a drop was made")
		}
		if left, err := s.Tmp.List(); len(left) > 0 || err != nil {
			t.Errorf("left in tmp: %q (%v)", left, err)
		}
	}
	name, err := NewDropName("claude")
	if err != nil || DropSource(name) != "claude" {
		t.Errorf("the name is %q, %v", name, err)
	}
	if err := s.DropContent(name, bufio.NewReader(iotest.OneByteReader(strings.NewReader("{}")))); err != nil {
		t.Error(err)
	}
	if n, err := s.CountDrops(); n != 1 || err != nil {
		t.Errorf("%d drops, %v", n, err)
	}
}

// Only in the home directory a .spool may be another program's.
func TestSettingsAreNoSpool(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	for _, name := range []string{"config.toml", "rules.toml"} {
		for _, project := range []string{home, t.TempDir()} {
			settings := filepath.Join(project, DirName, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(settings), 0o700), os.WriteFile(settings, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			s, err := Create(project)
			if err == nil {
				s.Close()
			}
			if refused := err != nil; refused != (project == home) {
				t.Errorf("%s in %s: %v", name, project, err)
			}
			if err := os.Remove(settings); err != nil {
				t.Fatal(err)
			}
		}
	}
}
