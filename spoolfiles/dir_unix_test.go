//go:build unix

package spoolfiles

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Nothing but a regular file is opened, and nothing through a link, also where
// the link leads to the same directory, as os.Root would allow.
func TestOpensNoLinks(t *testing.T) {
	s := newSpool(t)
	in := func(name string) string { return filepath.Join(s.Root.Path(), name) }
	must(t, os.WriteFile(in("file"), []byte("secret"), 0o600))
	must(t, os.Symlink("file", in("link")))
	must(t, os.Symlink("nothing", in("dangling")))
	must(t, os.Symlink("/etc/passwd", in("outside")))
	must(t, os.Symlink("incoming", in("linked")))
	must(t, syscall.Mkfifo(in("fifo"), 0o600))
	for _, name := range []string{"link", "dangling", "outside", "linked", "fifo", "tmp"} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_CREATE | os.O_EXCL} {
			if f, err := s.Root.OpenFile(name, flag); err == nil {
				f.Close()
				t.Errorf("%s was opened with flags %#x", name, flag)
			} else if want := in(name); !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not tell the path %s", err, want)
			}
		}
		if _, _, err := s.Root.ReadFile(name, 1<<20); err == nil {
			t.Errorf("%s was read", name)
		}
		if f, err := s.Root.create(name, os.O_WRONLY); !errors.Is(err, fs.ErrExist) {
			f.Close()
			t.Errorf("%s was created: %v", name, err)
		}
		if names, err := s.Root.Sub(name).List(); len(names) > 0 || err == nil && name != "tmp" {
			t.Errorf("%s was opened as a directory", name)
		}
	}
	if _, err := OpenDir(in("fifo")); err == nil {
		t.Error("a FIFO was opened as a directory")
	}
	if _, err := os.Lstat(in("nothing")); !os.IsNotExist(err) {
		t.Errorf("a file was made through a link: %v", err)
	}
	if data, err := os.ReadFile(in("file")); string(data) != "secret" {
		t.Errorf("%q, %v", data, err)
	}
}

// A file that is replaced by a link at any moment is read, or is not; what the
// link leads to is never read.
func TestReadsNoLinksInARace(t *testing.T) {
	s := newSpool(t)
	in := func(name string) string { return filepath.Join(s.Incoming.Path(), name) }
	must(t, os.WriteFile(in("secret"), []byte("secret"), 0o600))
	must(t, os.WriteFile(in("a.json"), []byte("public"), 0o600))
	stop := make(chan struct{})
	var swapper sync.WaitGroup
	defer swapper.Wait()
	defer close(stop)
	swapper.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if i%2 == 0 {
				_ = os.Symlink("secret", in("next"))
			} else {
				_ = os.WriteFile(in("next"), []byte("public"), 0o600)
			}
			_ = os.Rename(in("next"), in("a.json"))
		}
	})
	for range 2000 {
		if data, _, err := ReadDrop(s.Incoming, "a.json", 100); err == nil && string(data) != "public" {
			t.Fatalf("read %q", data)
		}
		if data, _, err := s.Incoming.ReadFile("a.json", 100); err == nil && string(data) != "public" {
			t.Fatalf("read %q", data)
		}
		if f, err := s.Incoming.OpenFile("a.json", os.O_RDONLY); err == nil {
			if data, err := io.ReadAll(f); string(data) != "public" {
				t.Fatalf("read %q, %v", data, err)
			}
			f.Close()
		}
	}
}

// So it is with directories.
func TestOpensNoLinkedDirsInARace(t *testing.T) {
	s := newSpool(t)
	in := func(name string) string { return filepath.Join(s.Root.Path(), name) }
	must(t, os.Mkdir(in("a"), 0o700))
	must(t, os.Mkdir(in("elsewhere"), 0o700))
	must(t, os.WriteFile(in("elsewhere/secret"), nil, 0o600))
	must(t, os.Symlink("elsewhere", in("link")))
	stop := make(chan struct{})
	var swapper sync.WaitGroup
	defer swapper.Wait()
	defer close(stop)
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Rename(in("a"), in("aside"))
			_ = os.Rename(in("link"), in("a"))
			_ = os.Rename(in("a"), in("link"))
			_ = os.Rename(in("aside"), in("a"))
		}
	})
	for range 2000 {
		if names, _ := s.Root.Sub("a").List(); len(names) > 0 {
			t.Errorf("listed %q", names)
		}
	}
}

// An open file is called by its path, as its errors are.
func TestFileNames(t *testing.T) {
	p := t.TempDir()
	s, err := Create(p + "/./")
	must(t, err)
	defer s.Close()
	for _, d := range []*Dir{s.Root, s.Tmp} {
		f, err := d.OpenFile("f", os.O_RDWR|os.O_CREATE)
		must(t, err)
		must(t, f.Close())
		if want := filepath.Join(d.Path(), "f"); f.Name() != want || !strings.HasPrefix(want, filepath.Join(p, DirName)) {
			t.Errorf("%s, want %s", f.Name(), want)
		}
	}
}

func TestReadDrop(t *testing.T) {
	s := newSpool(t)
	in := func(name string) string { return filepath.Join(s.Incoming.Path(), name) }
	write := func(name, content string, mode fs.FileMode) func() {
		return func() { must(t, os.WriteFile(in(name), []byte(content), mode)) }
	}
	remove := func(name string) func() { return func() { must(t, os.RemoveAll(in(name))) } }
	for _, tt := range []struct {
		name   string
		before []func() // the listing
		after  []func()
		want   string // the content, or in the error
		heals  bool
		gone   bool
	}{
		{name: "plain", before: []func(){write("x", "abc", 0o600)}, want: "abc"},
		{name: "empty", before: []func(){write("x", "", 0o600)}, want: ""},
		{name: "as large as may be", before: []func(){write("x", strings.Repeat("a", 10), 0o600)}, want: strings.Repeat("a", 10)},
		{name: "too large", before: []func(){write("x", strings.Repeat("a", 11), 0o600)}, want: "11 bytes, more than the limit of 10"},
		{name: "too large since", before: []func(){write("x", "", 0o600)}, after: []func(){write("x", strings.Repeat("a", 11), 0o600)}, want: "11 bytes, more than the limit of 10"},
		{name: "grown since", before: []func(){write("x", "a", 0o600)}, after: []func(){write("x", "abc", 0o600)}, want: "abc"},
		{name: "replaced since", before: []func(){write("x", "abc", 0o600)}, after: []func(){write("y", "def", 0o600), func() { must(t, os.Rename(in("y"), in("x"))) }}, want: "def"},
		{name: "gone", before: []func(){write("x", "abc", 0o600)}, after: []func(){remove("x")}, gone: true},
		{name: "a link since", before: []func(){write("x", "abc", 0o600), write("y", "secret", 0o600)},
			after: []func(){remove("x"), func() { must(t, os.Symlink("y", in("x"))) }}, want: "a symbolic link, which is not followed"},
		{name: "a directory", before: []func(){func() { must(t, os.Mkdir(in("x"), 0o700)) }}, want: "not a regular file"},
		{name: "a FIFO", before: []func(){func() { must(t, syscall.Mkfifo(in("x"), 0o600)) }}, want: "not a regular file"},
		{name: "a FIFO since", before: []func(){write("x", "abc", 0o600)}, after: []func(){remove("x"), func() { must(t, syscall.Mkfifo(in("x"), 0o600)) }}, want: "not a regular file"},
		{name: "two hard links", before: []func(){write("x", "abc", 0o600), func() { must(t, os.Link(in("x"), in("y"))) }}, want: "has 2 hard links", heals: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer remove("x")()
			defer remove("y")()
			for _, f := range tt.before {
				f()
			}
			list, err := s.Incoming.entries(func(name string) bool { return name == "x" })
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			for _, f := range tt.after {
				f()
			}
			data, info, err := ReadDrop(s.Incoming, list[0].Name, 10)
			var unfit *UnfitError
			switch {
			case tt.gone:
				if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &unfit) {
					t.Errorf("it is gone, but: %q, %v", data, err)
				}
			case err == nil:
				if string(data) != tt.want || info.Size != int64(len(data)) {
					t.Errorf("%q, %+v", data, info)
				}
			case !errors.As(err, &unfit) || !strings.Contains(unfit.Reason, tt.want) || unfit.MayHeal != tt.heals || data != nil:
				t.Errorf("%q, %#v", data, err)
			}
		})
	}
}

// rename and remove act on names in the directory, and on no others.
func TestLeavesNothing(t *testing.T) {
	s := newSpool(t)
	must(t, os.WriteFile(filepath.Join(s.Project, "mine"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(s.Root.Path(), "a"), nil, 0o600))
	for _, name := range []string{"../mine", "../../" + filepath.Base(s.Project) + "/mine", s.Project + "/mine", "..", ".", ""} {
		if s.Root.Remove(name) == nil || s.Root.RemoveAll(name) == nil && name != "" || s.Root.Rename(name, s.Tmp, "x") == nil || s.Root.Rename("a", s.Tmp, name) == nil {
			t.Errorf("%q was accepted", name)
		}
		if _, err := s.Root.OpenFile(name, os.O_RDWR|os.O_CREATE); err == nil {
			t.Errorf("%q was opened", name)
		}
	}
	if s.Stale() {
		t.Error("the spool was damaged")
	}
}

func TestRename(t *testing.T) {
	s := newSpool(t)
	dirs := []*Dir{s.Root, s.Tmp, s.Incoming, s.Work, s.Control, s.Rejected}
	must(t, os.WriteFile(filepath.Join(s.Root.Path(), "a"), []byte("content"), 0o600))
	at := s.Root
	for _, from := range dirs {
		for _, to := range dirs {
			must(t, at.Rename("a", from, "a"))
			must(t, from.Rename("a", to, "b"))
			must(t, to.Rename("b", to, "a"))
			at = to
		}
	}
	must(t, os.WriteFile(filepath.Join(s.Tmp.Path(), "over"), []byte("new"), 0o600))
	must(t, s.Tmp.Rename("over", at, "a"))
	if data, _, err := at.ReadFile("a", 10); string(data) != "new" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if err := s.Tmp.Rename("none", at, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing was renamed: %v", err)
	}
	// A directory of the same name is in the way.
	must(t, os.MkdirAll(filepath.Join(s.Tmp.Path(), "d/e"), 0o700))
	if err := at.Rename("a", s.Tmp, "d"); err == nil {
		t.Error("a directory was replaced")
	}
}

func TestTouch(t *testing.T) {
	s := newSpool(t)
	path := filepath.Join(s.Control.Path(), "x")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, syscall.Utimes(path, []syscall.Timeval{{Sec: 1}, {Sec: 2}}))
	must(t, s.Control.Touch("x"))
	if info, err := s.Control.Lstat("x"); err != nil || info.MTime < 1e18 {
		t.Errorf("%+v, %v", info, err)
	}
}

// modes lists what is in a spool that others than the owner may use, or its
// owner may not.
func modes(t *testing.T, root string) (wrong []string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			wrong = append(wrong, info.Mode().String()+" "+path)
		}
		return err
	}))
	return wrong
}

// What is made is the owner's alone, whatever the umask.
func TestModesDespiteUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o177, 0o777} {
		func() {
			p := t.TempDir()
			defer syscall.Umask(syscall.Umask(umask))
			must(t, Drop(p, []byte("{}")))
			s, err := Open(p)
			must(t, err)
			defer s.Close()
			f, err := s.Root.OpenFile("queue", os.O_RDWR|os.O_CREATE)
			must(t, err)
			must(t, f.Close())
			must(t, s.Root.WriteFile("ledger", nil, s.Tmp, false))
			if wrong := modes(t, s.Root.Path()); wrong != nil {
				t.Errorf("umask %#o: %q", umask, wrong)
			}
		}()
	}
}

// What others may use is made private, by each program that opens the spool to change it.
func TestModesAreTightened(t *testing.T) {
	for name, open := range map[string]func(p string) error{
		"Drop": func(p string) error { return Drop(p, []byte("{}")) },
		"Open": func(p string) error {
			s, err := Open(p)
			if err != nil {
				return err
			}
			defer s.Close()
			f, err := s.Root.OpenFile("queue", os.O_RDWR)
			if err != nil {
				return err
			}
			return f.Close()
		},
	} {
		p := t.TempDir()
		root := filepath.Join(p, DirName)
		names := []string{root, filepath.Join(root, "tmp"), filepath.Join(root, "incoming")}
		if name == "Open" {
			names = append(names, filepath.Join(root, "rejected"), filepath.Join(root, "queue"))
		}
		for _, path := range names {
			if strings.HasSuffix(path, "queue") {
				must(t, os.WriteFile(path, nil, 0o600))
				must(t, os.Chmod(path, 0o664))
				continue
			}
			must(t, os.Mkdir(path, 0o700))
			must(t, os.Chmod(path, 0o775))
		}
		s, err := OpenExisting(p)
		must(t, err)
		if wrong := modes(t, root); len(wrong) != len(names) {
			t.Errorf("OpenExisting has changed something: %q", wrong)
		}
		must(t, s.Close())
		must(t, open(p))
		if wrong := slices.DeleteFunc(modes(t, root), func(s string) bool { return strings.HasSuffix(s, ".gitignore") }); wrong != nil {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}
