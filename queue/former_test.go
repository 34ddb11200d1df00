package queue

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

// formerCase is a spool that the former version has left.
type formerCase struct {
	name  string
	cap   int
	made  []string // tool names of its signals
	files []txtar.File
}

func formerCases(t *testing.T) (cases []formerCase) {
	archive, err := txtar.ParseFile("testdata/former.txtar")
	must(t, err)
	for _, f := range archive.Files {
		name, _, isFile := strings.Cut(f.Name, "/")
		if !isFile {
			words := strings.Fields(string(f.Data))
			limit, err := strconv.Atoi(words[0])
			must(t, err)
			cases = append(cases, formerCase{name: name, cap: limit, made: words[1:]})
			continue
		}
		last := &cases[len(cases)-1]
		last.files = append(last.files, f)
	}
	return cases
}

// lay makes the spool.
func (c *formerCase) lay(t *testing.T) *spoolfiles.Spool {
	sp := project(t)
	for _, f := range c.files {
		name, second, _ := strings.Cut(strings.TrimPrefix(f.Name, c.name+"/"), " ")
		data, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(f.Data)))
		must(t, err)
		path := filepath.Join(sp.Root.Path(), name)
		must(t, os.WriteFile(path, data, 0o600))
		at, err := strconv.ParseInt(second, 10, 64)
		must(t, err)
		must(t, os.Chtimes(path, time.Unix(at, 0), time.Unix(at, 0)))
	}
	return sp
}

// TestFormerVersion takes over spools that the former version has left in the
// middle of a transaction: nothing is lost, nothing is there twice, and the
// account goes on.
func TestFormerVersion(t *testing.T) {
	for _, c := range formerCases(t) {
		t.Run(c.name, func(t *testing.T) {
			sp := c.lay(t)
			q := New(sp, options(c.cap), nil)
			must(t, q.Recover(context.Background()))
			for _, name := range []string{legacyRedo, legacyLedger} {
				if _, err := os.Lstat(filepath.Join(sp.Root.Path(), name)); err == nil {
					t.Errorf("%s is still there", name)
				}
			}
			where := map[string][]string{}
			for _, place := range []string{"incoming", "control", "tmp", "work", "."} {
				entries, err := os.ReadDir(filepath.Join(sp.Root.Path(), place))
				must(t, err)
				for _, e := range entries {
					if e.IsDir() || place == "." && e.Name() != FileName {
						continue
					}
					data, err := os.ReadFile(filepath.Join(sp.Root.Path(), place, e.Name()))
					must(t, err)
					for line := range bytes.Lines(data) {
						if s, err := signal.ParseLine(line); err == nil {
							where[*s.ToolName] = append(where[*s.ToolName], place)
						} else if err != signal.ErrBlank {
							t.Errorf("%s has the line %q", place, line)
						}
					}
				}
			}
			gone, kept := 0, 0
			for _, name := range c.made {
				switch places := where[name]; len(places) {
				case 0:
					gone++
				case 1:
					kept++
				default:
					t.Errorf("%s is in %q", name, places)
				}
			}
			l := closes(t, q)
			if gone > 0 && (c.cap == 0 || kept < c.cap) {
				t.Errorf("%d signals are gone, and %d are there", gone, kept)
			}
			if l.Folded == 0 && !strings.Contains(c.name, "nothing") && !strings.Contains(c.name, "torn") && !strings.Contains(c.name, "shorter") {
				t.Errorf("the account begins anew: %+v", l)
			}
			drop(t, sp, 1, "last")
			fold(t, q)
			if got := peek(t, q); len(got) == 0 || got[len(got)-1] != 1 {
				t.Errorf("the next fold gives %v", got)
			}
			if n, err := sp.CountDrops(); n != 0 || err != nil {
				t.Errorf("%d drops are left, %v", n, err)
			}
		})
	}
}

// A crash in the middle of taking over costs no part of the account.
func TestFormerVersionAfterACrash(t *testing.T) {
	for _, c := range formerCases(t) {
		var folded [2]int64
		for crash := range folded {
			sp := c.lay(t)
			q := New(sp, options(c.cap), nil)
			if crash == 1 {
				steps := 0
				q.step = func(what string, n int64) int64 {
					if what == "reconcile" {
						if steps++; steps == 2 {
							panic("crash")
						}
					}
					return n
				}
				func() {
					defer func() { recover() }()
					q.Recover(context.Background())
				}()
				q = New(sp, options(c.cap), nil)
			}
			must(t, q.Recover(context.Background()))
			fold(t, q)
			folded[crash] = closes(t, q).Folded
		}
		if folded[0] != folded[1] {
			t.Errorf("%s: %d were folded, after a crash %d", c.name, folded[0], folded[1])
		}
	}
}

// What is too large to be a record is kept.
func TestFormerRecordTooLarge(t *testing.T) {
	sp := project(t)
	path := filepath.Join(sp.Root.Path(), legacyRedo)
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, maxLegacy+1))
	must(t, New(sp, options(0), nil).Recover(context.Background()))
	if info, err := os.Lstat(filepath.Join(sp.Rejected.Path(), legacyRedo)); err != nil || info.Size() != maxLegacy+1 {
		t.Errorf("not in rejected: %v", err)
	}
}
