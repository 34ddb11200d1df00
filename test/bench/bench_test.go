//go:build linux

// Package bench measures what the project promises of its speed and its
// size, most figures beside those of another program that does as much or the
// least of it. The two are measured in turns, in one run, so that whatever else
// the machine does hits both; and what is compared are their medians.
//
// It has benchmarks only. "make bench" runs them, and prints one table. With
// BENCHFLAGS=-short everything is repeated less often; with SPOOL_BENCH=NAME only
// the rows of that name in the table below are measured. A figure that is missed fails
// nothing: it depends on the machine, and is for people to see.
package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"spoolagent/internal/agenttest"
)

func TestMain(m *testing.M) {
	if work := os.Getenv(childEnv); work != "" {
		if err := child(work); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func BenchmarkTable(b *testing.B) {
	dir := workDir(b)
	fmt.Printf("%s/%s, %d processors, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), fileSystem(b, dir))
	original, err := buildOriginal(b)
	if err != nil {
		fmt.Printf("Nothing is beside the original's: %v\n", err)
	}
	fmt.Println()
	printRow("", "this", "beside", "result", "wanted", "")
	for _, row := range []struct {
		name    string
		measure func(b *testing.B, dir string)
	}{
		{"hook", func(b *testing.B, dir string) { hooks(b, dir, original) }},
		{"start", start},
		{"quotes", quotes},
		{"visible", visible},
		{"request", request},
		{"drain", func(b *testing.B, dir string) { drain(b, dir, original) }},
		{"fold", foldAll},
		{"idle", idle},
	} {
		if only := os.Getenv("SPOOL_BENCH"); only != "" && only != row.name {
			continue
		}
		sub, err := os.MkdirTemp(dir, "")
		if err != nil {
			b.Fatal(err)
		}
		unix.Sync() // what the last one has left to be written shall not slow this one
		row.measure(b, sub)
		if err := os.RemoveAll(sub); err != nil {
			b.Fatal(err)
		}
	}
	fmt.Println()
}

// workDir is a directory in the checkout, where a project would be: the
// temporary directory may be in memory. And ext4 takes many times as long to
// make a file in a region of the disk where others have just been removed,
// which would hide what we add to it.
func workDir(b *testing.B) string {
	parent, err := filepath.Abs(filepath.Join("..", "..", ".bench"))
	if err != nil {
		b.Fatal(err)
	}
	agenttest.Mkdir(b, parent)
	dir, err := os.MkdirTemp(parent, "")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func fileSystem(b *testing.B, dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		b.Fatal(err)
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	}
	return fmt.Sprintf("a file system of type %#x", st.Type)
}

// inTurns calls every function n times, in turns and each time beginning with
// another, and returns the medians of what they measured.
func inTurns(n int, measure ...func() time.Duration) []time.Duration {
	times := make([][]time.Duration, len(measure))
	for i := range n {
		for j := range measure {
			k := (i + j) % len(measure)
			times[k] = append(times[k], measure[k]())
		}
	}
	var medians []time.Duration
	for _, t := range times {
		slices.Sort(t)
		medians = append(medians, t[len(t)/2])
	}
	return medians
}

// times is how often to measure something.
func times(full, short int) int {
	if testing.Short() {
		return short
	}
	return full
}

func printRow(cells ...any) {
	fmt.Printf("%-56v %12v %12v %12v   %-26v %v\n", cells...)
}

// verdict says whether a figure is within its limit; if not, how far it is above.
func verdict(got, most float64) string {
	if got <= most {
		return "ok"
	}
	if most == 0 {
		return "MISSED"
	}
	return fmt.Sprintf("MISSED by %.0f %%", max(1, 100*(got/most-1)))
}

// atMost prints a row whose time may be at most so many times its floor's.
func atMost(what string, got, floor time.Duration, most float64) {
	ratio := float64(got) / float64(floor)
	printRow(what, short(got), short(floor), fmt.Sprintf("%.2f x", ratio),
		fmt.Sprintf("at most %.2f x", most), verdict(ratio, most))
}

// within prints a row whose time is bounded by itself. The floor is part of the limit.
func within(what string, got, floor, most time.Duration, limit string) {
	f := ""
	if floor > 0 {
		f = short(floor)
	}
	printRow(what, short(got), f, short(got), limit, verdict(float64(got), float64(most)))
}

// short is a duration with three digits.
func short(d time.Duration) string {
	unit, name := time.Second, "s"
	switch {
	case d < time.Millisecond:
		unit, name = time.Microsecond, "µs"
	case d < time.Second:
		unit, name = time.Millisecond, "ms"
	}
	digits := 2
	for v := d; v >= 10*unit && digits > 0; v /= 10 {
		digits--
	}
	return fmt.Sprintf("%.*f %s", digits, float64(d)/float64(unit), name)
}

// thousands is a number as people write it.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// event is what Claude Code hands to a hook after a tool call, of ordinary size.
var event = fmt.Sprintf(`{"session_id":"0b1c5f0e-7f0a-4f43-9d0e-5a1f6c2d7e11","transcript_path":"/home/u/.claude/projects/repo/0b1c5f0e.jsonl","cwd":"/home/u/repo","permission_mode":"default","hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":"go test ./...","description":"Run the tests"},"tool_response":{"stdout":"%s","stderr":"","interrupted":false,"isImage":false}}`,
	strings.Repeat(`ok  \texample.org/repo/part\t0.012s\n`, 20))
