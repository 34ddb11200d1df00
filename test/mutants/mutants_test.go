//go:build linux && powercut

package mutants

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// replacement is a change of one file of the module.
type replacement struct {
	file     string // below the module's root
	old, new string // old occurs once
}

// mutant is a fault, and the power cuts that find it.
type mutant struct {
	name  string
	fault replacement
	test  string // of test/powercut, as -run has it
}

// pause makes every agent pause before each step, and have the file system commit
// its journal, by a file that nobody else uses.
var pause = []replacement{
	{"queue/queue.go", "import (\n", "import (\n	\"os\"\n"},
	{"queue/queue.go", "	if q.step != nil {\n", `
		if q.step == nil && what != "take" {
			if f, err := os.Create(q.sp.Project + "/pause"); err == nil {
				f.Write(make([]byte, 100))
				f.Sync()
				f.Close()
			}
			time.Sleep(10 * time.Millisecond)
		} else if q.step != nil {
	`},
}

var mutants = []mutant{
	{
		"the queue is not synced",
		replacement{"queue/commit.go", "	if t.Pieces > 0 {", "	if t.Pieces < 0 {"},
		"TestFoldsOnBusyDisk",
	},
	{
		"the drops of a fold are removed before the queue is synced",
		replacement{"queue/commit.go", "	h.unfinished = true\n", `	h.unfinished = true
			if t.Verb == foldVerb {
				if err := q.emptyWork(); err != nil {
					return err
				}
			}
		`},
		"TestFoldsOnBusyDisk",
	},
	{
		"the record of a return is not synced",
		replacement{"queue/commit.go", " t.Verb == returnVerb ||", ""},
		"TestReturnsOnBusyDisk",
	},
	{
		"the record of a compaction is not synced",
		replacement{"queue/commit.go", " || t.Verb == compactVerb", ""},
		"TestCompactsOnBusyDisk",
	},
	{
		"the record of a drain is not synced",
		replacement{"queue/commit.go", "t.Verb == drainVerb || t.Verb == returnVerb", "t.Verb == returnVerb"},
		"TestDrainsOnBusyDisk",
	},
	{
		"a drain overwrites before it has a record",
		replacement{"queue/commit.go", "	header, err := t.encode()\n", `
			if t.Verb == drainVerb {
				if err := q.copyCells(h, t); err != nil {
					return err
				}
				q.next("begin", 0)
			}
			header, err := t.encode()
		`},
		"TestDrainsOnBusyDisk",
	},
	{
		"a reply is not synced",
		replacement{"queue/drain.go", "out.Flush()); err == nil && q.opt.Fsync {\n", "out.Flush()); err != nil {\n"},
		"TestDrainsOnBusyDisk",
	},
	{
		"a registration is not synced",
		replacement{"agent/registry/registry.go", "[]byte(text), dir, true)", "[]byte(text), dir, false)"},
		"TestAddedProjectStays",
	},
	{
		"the registry is not synced",
		replacement{"agent/registry/registry.go", "	return errors.Join(err, dir.Sync())\n", "	return err\n"},
		"TestAddedProjectStays",
	},
}

// attempts is how often a fault is looked for. Where the power is cut is a matter
// of chance, since no two recordings are alike.
const attempts = 4

// sources are what an agent is built from.
var sources = []string{"go.mod", "go.sum", "agent", "cmd", "configs", "internal", "queue", "service", "spoolfiles"}

// foundFault is how test/powercut tells what a cut has shown.
var foundFault = regexp.MustCompile(`(?m)^powercut: +[1-9][0-9]* faults: .*$`)

func TestMutants(t *testing.T) {
	suite := filepath.Join(t.TempDir(), "powercut.test")
	run(t, "../powercut", "go", "test", "-c", "-tags", "powercut", "-o", suite, ".")
	var tests []string
	for _, m := range mutants {
		tests = append(tests, m.test)
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		if out, err := cutPower(suite, strings.Join(tests, "|"), build(t)); err != nil || foundFault.MatchString(out) {
			t.Errorf("without a fault: %v\n%s", err, out)
		}
	})
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			agent, began := build(t, m.fault), time.Now()
			var out string
			var err error
			var found []string
			for range attempts {
				out, err = cutPower(suite, m.test, agent)
				if found = foundFault.FindAllString(out, -1); found != nil {
					break
				}
			}
			if err == nil || found == nil {
				t.Fatalf("%s does not find it: %v\n%s", m.test, err, out)
			}
			t.Logf("found by %s in %v:\n%s", m.test, time.Since(began).Round(time.Second), strings.Join(found, "\n"))
		})
	}
}

// cutPower runs some tests of test/powercut on an agent.
func cutPower(suite, test, agent string) (string, error) {
	cmd := exec.Command(suite, "-test.parallel", "4", "-test.timeout", "10m", "-test.run", test)
	cmd.Dir = "../powercut"
	cmd.Env = append(os.Environ(), "SPOOL_AGENT="+agent, "SPOOL_POWERCUT=short")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// build builds an agent that pauses, and has these faults.
func build(t *testing.T, faults ...replacement) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range sources {
		copyTree(t, filepath.Join("../..", name), filepath.Join(dir, name))
	}
	for _, r := range append(slices.Clone(pause), faults...) {
		name := filepath.Join(dir, r.file)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), r.old); n != 1 {
			t.Fatalf("%s has %d times, not once:\n%s", r.file, n, r.old)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(text), r.old, r.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "go", "build", "-o", "mutant", "./cmd/agent")
	return filepath.Join(dir, "mutant")
}

// copyTree copies a file, or the files below a directory, but for tests.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		copied := to + strings.TrimPrefix(name, from)
		if e.IsDir() {
			return os.MkdirAll(copied, 0o700)
		}
		if !e.Type().IsRegular() || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(copied, data, 0o600)
	})
	if err != nil {
		t.Fatal(fmt.Errorf("copying the sources: %w", err))
	}
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}
