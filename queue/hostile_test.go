//go:build unix

package queue

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// TestHostileDrops: none is folded, none delays the good one, and nothing
// outside changes.
func TestHostileDrops(t *testing.T) {
	sp := project(t)
	outside := filepath.Join(sp.Project, "outside")
	must(t, os.Mkdir(outside, 0o700))
	secret := filepath.Join(outside, "secret.json")
	must(t, os.WriteFile(secret, []byte(`{"payload":"secret"}`), 0o600))
	must(t, os.Chtimes(secret, longAgo, longAgo))
	in := func(name string) string { return filepath.Join(sp.Incoming.Path(), name) }

	must(t, os.Symlink(secret, in("link.json")))
	must(t, os.Symlink("/nowhere/at/all", in("dangling.json")))
	must(t, os.Symlink(outside, in("linked-dir.json")))
	must(t, os.Link(secret, in("hard.json")))
	must(t, syscall.Mkfifo(in("fifo.json"), 0o600))
	must(t, os.MkdirAll(in("dir.json/sub/sub"), 0o700))
	must(t, os.WriteFile(in("dir.json/file.json"), []byte(signalAt(1)), 0o600))
	place(t, sp, "sparse.json", "", longAgo)
	must(t, os.Truncate(in("sparse.json"), 1<<40))
	must(t, os.Chtimes(in("sparse.json"), longAgo, longAgo))
	place(t, sp, "large.json", `{"payload":"`+strings.Repeat("x", spoolfiles.MaxDrop)+`"}`, longAgo)
	place(t, sp, "deep.json", strings.Repeat("[", 100_000), longAgo)
	place(t, sp, "empty.json", "", longAgo)
	place(t, sp, "two\nlines\x1b[31m.json", "{", longAgo)
	place(t, sp, "\xff\xfe.json", "{", longAgo)
	place(t, sp, strings.Repeat("n", 250)+".json", "{", longAgo)
	want := 13
	if l, err := net.Listen("unix", shortName(t, sp, "socket.json")); err == nil {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
		want++
	}
	if os.Geteuid() == 0 {
		place(t, sp, "theirs.json", signalAt(1), longAgo)
		must(t, os.Chown(in("theirs.json"), 12345, 12345))
		want++
	}
	place(t, sp, "good.json", signalAt(9), time.Now())

	q := New(sp, options(100), nil)
	res := fold(t, q)
	if res.Folded != 1 || res.Rejected != want || res.Failed != nil {
		t.Errorf("%+v, want %d rejected", res, want)
	}
	wantQueue(t, q, 9)
	files := rejected(t, sp)
	if len(files) != 2*want {
		t.Errorf("%d files in rejected, want %d", len(files), 2*want)
	}
	for name, content := range files {
		if reason, ok := files[name+spoolfiles.ReasonSuffix]; ok {
			if strings.Count(reason, "\n") != 1 || strings.ContainsRune(reason, '\x1b') {
				t.Errorf("%q: reason %q", name, reason)
			}
			t.Logf("%-30.30q %s", name, strings.TrimSpace(reason))
		} else if !strings.HasSuffix(name, spoolfiles.ReasonSuffix) {
			t.Errorf("%q has no reason; %q", name, content)
		}
	}
	if n, err := sp.CountDrops(); n != 0 || err != nil {
		t.Errorf("%d drops are left, %v", n, err)
	}
	data, err := os.ReadFile(secret)
	if err != nil || string(data) != `{"payload":"secret"}` {
		t.Errorf("outside: %q, %v", data, err)
	}
	closes(t, q)
}

// shortName is a path to a new drop for a socket, whose paths must be short.
func shortName(t testing.TB, sp *spoolfiles.Spool, name string) string {
	dir, err := os.MkdirTemp("", "s")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	link := filepath.Join(dir, "i")
	must(t, os.Symlink(sp.Incoming.Path(), link))
	return filepath.Join(link, name)
}

// A directory and a FIFO among the drops go to rejected, and evict nothing.
func TestHostileDropsInABacklog(t *testing.T) {
	sp := project(t)
	dir := filepath.Join(sp.Incoming.Path(), "dir.json")
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	must(t, os.Chtimes(dir, longAgo, longAgo))
	must(t, syscall.Mkfifo(filepath.Join(sp.Incoming.Path(), "fifo.json"), 0o600))
	must(t, os.Chtimes(filepath.Join(sp.Incoming.Path(), "fifo.json"), longAgo, longAgo))
	for i := range 3 {
		place(t, sp, fmt.Sprintf("%d.json", i), signalAt(i), longAgo.Add(time.Hour+time.Duration(i)))
	}
	q := New(sp, options(2), nil)
	fold(t, q)
	wantQueue(t, q, 1, 2)
	fold(t, q)
	if n, err := sp.CountDrops(); n != 0 || err != nil {
		t.Errorf("%d drops are left, %v", n, err)
	}
	if files := rejected(t, sp); len(files) != 4 || files["dir.json"] == "" || files["fifo.json"] == "" {
		t.Errorf("%v", files)
	}
	closes(t, q)
}

// A directory that somebody has put into work goes to rejected.
func TestHostileWork(t *testing.T) {
	sp := project(t)
	q := New(sp, options(2), nil)
	place(t, sp, "a.json", signalAt(1), longAgo)
	q.step = func(what string, n int64) int64 {
		if what == "sync queue" || what == "done" {
			_ = os.MkdirAll(filepath.Join(sp.Work.Path(), "dir.json", "sub"), 0o700)
		}
		return n
	}
	fold(t, q)
	q.step = nil
	fold(t, q)
	wantQueue(t, q, 1)
	if n, err := sp.CountDrops(); n != 0 || err != nil {
		t.Errorf("%d drops are left, %v", n, err)
	}
	if files := rejected(t, sp); len(files) != 2 || files["dir.json"] == "" {
		t.Errorf("%v", files)
	}
	closes(t, q)
}

// A drop that another has replaced after it was read is not the one that was read.
func TestReplacedDropStays(t *testing.T) {
	sp := project(t)
	place(t, sp, "a.json", signalAt(1), longAgo)
	q := New(sp, options(100), nil)
	q.step = func(what string, n int64) int64 {
		if what == "take" {
			q.step = nil
			place(t, sp, "tmp", signalAt(2), longAgo)
			must(t, sp.Incoming.Rename("tmp", sp.Incoming, "a.json"))
		}
		return n
	}
	fold(t, q)
	wantQueue(t, q)
	fold(t, q)
	wantQueue(t, q, 2)
	if l := closes(t, q); l.Folded != 1 {
		t.Errorf("%+v", l)
	}
}

func TestPayloadLimit(t *testing.T) {
	sp := project(t)
	opt := options(100)
	opt.MaxPayload, opt.MaxDrop = 1000, 5000
	place(t, sp, "a.json", `{"recorded_at":1,"payload":"`+strings.Repeat("é", 1000)+`"}`, longAgo)
	place(t, sp, "b.json", `{"recorded_at":2,"payload":"`+strings.Repeat("x", 5000)+`"}`, longAgo)
	q := New(sp, opt, nil)
	if res := fold(t, q); res.Folded != 1 || res.Rejected != 1 || !strings.Contains(res.Rejects[0].Reason, "limit of 5000") {
		t.Errorf("%+v", res)
	}
	signals, malformed := signalsOf(t, q)
	if len(malformed) > 0 || len(signals) != 1 || len(*signals[0].Payload) > 1000 || len(*signals[0].Payload) < 990 {
		t.Errorf("%+v", signals)
	}
}

// TestHostileQueue: what is not a plain file of ours is refused untouched.
func TestHostileQueue(t *testing.T) {
	for kind, make := range map[string]func(path, outside string) error{
		"link":     func(path, outside string) error { return os.Symlink(outside, path) },
		"dangling": func(path, outside string) error { return os.Symlink(outside+"-new", path) },
		"hard":     func(path, outside string) error { return os.Link(outside, path) },
		"fifo":     func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"dir":      func(path, _ string) error { return os.MkdirAll(path+"/sub", 0o700) },
		"sparse": func(path, _ string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			sp := project(t)
			outside := filepath.Join(sp.Project, "outside")
			text := signalLine("mine") + "\n"
			must(t, os.WriteFile(outside, []byte(text), 0o600))
			must(t, make(queuePath(sp), outside))
			before, err := os.Lstat(queuePath(sp))
			must(t, err)
			drop(t, sp, 1, "x")
			q := New(sp, options(1), nil)
			ctx := context.Background()
			if _, err := q.Fold(ctx); err == nil {
				t.Error("Fold is fine")
			}
			if _, err := q.Take(ctx, spoolfiles.NewID()); err == nil {
				t.Error("Take is fine")
			}
			if err := q.Peek(ctx, func(signal.Signal) error { return nil }, func(int, error) {}); err == nil {
				t.Error("Peek is fine")
			}
			after, err := os.Lstat(queuePath(sp))
			if err != nil || after.Mode() != before.Mode() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("it has become %v, %v", after, err)
			}
			if data, err := os.ReadFile(outside); err != nil || string(data) != text {
				t.Errorf("outside: %q, %v", data, err)
			}
			if _, err := os.Lstat(outside + "-new"); err == nil {
				t.Error("a file was made outside")
			}
			if n, _ := sp.CountDrops(); n != 1 {
				t.Errorf("%d drops are left", n)
			}
			must(t, os.RemoveAll(queuePath(sp))) // mended
			fold(t, q)
			wantQueue(t, q, 1)
		})
	}
}

// TestHostileOwnFiles: a record that we cannot have left is not used, and work
// goes on.
func TestHostileOwnFiles(t *testing.T) {
	r := record{Verb: compactVerb, Seq: 2, Boot: "another", Exact: true, state: pending}
	valid, err := r.encode()
	must(t, err)
	for kind, make := range map[string]func(path, outside string) error{
		"link":     func(path, outside string) error { return os.Symlink(outside, path) },
		"dangling": func(path, outside string) error { return os.Symlink(outside+"-new", path) },
		"hard":     func(path, outside string) error { return os.Link(outside, path) },
		"fifo":     func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"dir":      func(path, _ string) error { return os.MkdirAll(path+"/sub", 0o700) },
		"socket": func(path, _ string) error {
			return syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0)
		},
		"garbage": func(path, _ string) error { return os.WriteFile(path, []byte("garbage\n"), 0o600) },
		"valid":   func(path, _ string) error { return os.WriteFile(path, valid, 0o600) },
		"NULs":    func(path, _ string) error { return os.WriteFile(path, []byte(strings.Repeat("\x00", 9999)), 0o600) },
		"sparse": func(path, _ string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		},
	} {
		for _, name := range []string{recordName(0), recordName(1), legacyRedo, legacyLedger} {
			t.Run(name+" "+kind, func(t *testing.T) {
				sp := project(t)
				outside := filepath.Join(sp.Project, "outside")
				text := signalLine("mine") + "\n"
				if kind == "hard" {
					text = string(valid)
				}
				must(t, os.WriteFile(outside, []byte(text), 0o600))
				path := filepath.Join(sp.Root.Path(), name)
				must(t, make(path, outside))
				drop(t, sp, 1, "x")
				drop(t, sp, 2, "x")
				q := New(sp, options(1), nil)
				fold(t, q)
				wantQueue(t, q, 2)
				take(t, q)
				wantQueue(t, q)
				closes(t, q)
				if data, err := os.ReadFile(outside); err != nil || string(data) != text {
					t.Errorf("outside: %q, %v", data, err)
				}
				if _, err := os.Lstat(outside + "-new"); err == nil {
					t.Error("a file was made outside")
				}
				info, err := os.Lstat(path)
				if strings.HasPrefix(name, "queue.record") && (err != nil || !info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Nlink != 1) {
					t.Errorf("%s is %v, %v", name, info, err)
				}
			})
		}
	}
}

// TestHostileDirectories: a spool with a link for one of its directories is
// not opened.
func TestHostileDirectories(t *testing.T) {
	for _, name := range []string{"tmp", "incoming", "control", "rejected", "."} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			outside := t.TempDir()
			sp, err := spoolfiles.Create(dir)
			must(t, err)
			sp.Close()
			path := filepath.Join(dir, spoolfiles.DirName, name)
			must(t, os.RemoveAll(path))
			must(t, os.Symlink(outside, path))
			if sp, err := spoolfiles.Open(dir); err == nil {
				sp.Close()
				t.Error("it is opened")
			}
			if sp, err := spoolfiles.Create(dir); err == nil {
				sp.Close()
				t.Error("it is made")
			}
			if entries, err := os.ReadDir(outside); len(entries) > 0 || err != nil {
				t.Errorf("outside has %v, %v", entries, err)
			}
		})
	}
}

// A record whose cells lie behind its end is not touched there: that would kill the
// process, and each one after it.
func TestShortRecord(t *testing.T) {
	sp := project(t)
	line := signalAt(1) + "\n"
	writeQueue(t, sp, line)
	info, err := sp.Root.Lstat(FileName)
	must(t, err)
	r := &record{Verb: evictVerb, Seq: 2, Boot: bootID(), Exact: true, To: int64(len(line)), Blanks: 1000, Inode: info.Ino, state: pending}
	r.Sum = crc32.Checksum([]byte(line), castagnoli())
	header, err := r.encode()
	must(t, err)
	text := append(header, line...)
	text = append(text, make([]byte, int(r.cellsAt())-len(text))...)
	for len(text) < 2*os.Getpagesize() { // the first of them could be
		text, err = binary.Append(text, binary.NativeEndian, cell{Cursor: r.patternAt(), From: r.patternAt(), End: r.patternAt() + 1})
		must(t, err)
	}
	text = text[:len(text)/os.Getpagesize()*os.Getpagesize()]
	must(t, os.WriteFile(filepath.Join(sp.Root.Path(), recordName(r.Seq)), text, 0o600))
	place(t, sp, "new.json", signalAt(77), longAgo)
	_, err = New(sp, options(0), nil).Fold(t.Context())
	must(t, err)
	if text := readQueue(t, sp); strings.Count(text, `"recorded_at":77,`) != 1 {
		t.Errorf("the queue has %q", text)
	}
}
