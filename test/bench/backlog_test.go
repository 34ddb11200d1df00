//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"spoolagent/internal/agenttest"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// What is measured of a long backlog runs in a process of its own, for its
// memory and so that nobody's garbage is collected on its time. The process is
// this test's binary, told by the environment what to do.
const childEnv = "SPOOL_BENCH_CHILD"

type report struct {
	Took time.Duration
	Peak int // KiB of memory
}

func child(work string) error {
	what, dir, _ := strings.Cut(work, " ")
	start := time.Now()
	var err error
	switch what {
	case "fold":
		err = fold(dir, 0)
	case "evict":
		err = fold(dir, 100)
	case "read":
		err = bareRead(dir)
	case "unlink":
		err = bareUnlink(dir)
	}
	r := report{Took: time.Since(start)}
	if err == nil {
		var sample agenttest.Sample
		sample, err = agenttest.Look(os.Getpid())
		r.Peak = sample.Peak
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func inChild(b *testing.B, work string) report {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+work)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var r report
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		b.Fatalf("%s: %v: %s", work, err, out)
	}
	return r
}

// fold is what an agent does with a project that nobody has served for long,
// configured as by default but for the cap.
func fold(project string, cap int) error {
	sp, err := spoolfiles.Open(project)
	if err != nil {
		return err
	}
	defer sp.Close()
	opt := queue.DefaultOptions()
	opt.Cap = cap
	_, err = queue.New(sp, opt, nil).Fold(context.Background())
	return err
}

// bareRead opens, looks at, reads, closes and unlinks every file, with nothing
// between it and the system calls.
func bareRead(dir string) error {
	buf := make([]byte, 64<<10)
	return eachFile(dir, func(fd int, name string) error {
		f, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(f, &st); err != nil {
			return err
		}
		if _, err := unix.Read(f, buf); err != nil {
			return err
		}
		if err := unix.Close(f); err != nil {
			return err
		}
		return unix.Unlinkat(fd, name, 0)
	})
}

func bareUnlink(dir string) error {
	return eachFile(dir, func(fd int, name string) error { return unix.Unlinkat(fd, name, 0) })
}

func eachFile(dir string, do func(fd int, name string) error) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(4096)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := do(int(f.Fd()), name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
}

// fill leaves n drops, straight in the directory: how they came is not measured here.
func fill(b *testing.B, incoming string, n int) {
	d, err := os.Open(incoming)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	var line []byte
	for i := range n {
		line = fmt.Appendf(line[:0], `{"recorded_at":1763852400,"tool_name":"Bash","cwd":"/home/u/repo","payload":"%07d %0200d"}`, i, 0)
		name := fmt.Sprintf("%d-12345-%013d.json", time.Now().UnixNano(), i)
		fd, err := unix.Openat(int(d.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
		if err == nil {
			_, err = unix.Write(fd, line)
			unix.Close(fd)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// backlog measures what the queue does with a backlog of n drops against what
// a bare loop does with as many files. Each gets a new backlog each time, and
// begins once the disk has it.
func backlog(b *testing.B, dir string, rounds, n int, ours, bare string, signals int) (this, floor time.Duration, peak int) {
	round := 0
	u := agenttest.NewUserIn(b, dir)
	m := inTurns(rounds,
		func() time.Duration {
			round++
			project := u.Project(fmt.Sprint("project-", round))
			incoming := spool(project, "incoming")
			fill(b, incoming, n)
			unix.Sync()
			r := inChild(b, ours+" "+project)
			unix.Sync()
			peak = max(peak, r.Peak)
			if left, queued := len(agenttest.List(b, incoming)), lines(b, spool(project, "distill-pending.queue")); left != 0 || queued != signals {
				b.Fatalf("after the fold %d drops are left and %d signals are queued, want 0 and %d", left, queued, signals)
			}
			return r.Took
		},
		func() time.Duration {
			round++
			files := filepath.Join(dir, fmt.Sprint("files-", round))
			agenttest.Mkdir(b, files)
			fill(b, files, n)
			unix.Sync()
			r := inChild(b, bare+" "+files)
			unix.Sync()
			return r.Took
		})
	return m[0], m[1], peak
}

func lines(b *testing.B, path string) (n int) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF {
			return n
		}
		if err != nil {
			b.Fatal(err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			n++
		}
	}
}

func foldAll(b *testing.B, dir string) {
	n := times(100_000, 2_000)
	this, floor, _ := backlog(b, dir, times(5, 3), n, "fold", "read", n)
	speed := float64(floor) / float64(this)
	printRow(thousands(n)+" drops, no cap (open..unlink loop)", short(this), short(floor),
		fmt.Sprintf("%.2f x speed", speed), "0.50 x the speed", verdict(0.5, speed))
}

func evictMost(b *testing.B, dir string) {
	n := times(1_000_000, 20_000)
	this, floor, peak := backlog(b, dir, 3, n, "evict", "unlink", 100)
	atMost(thousands(n)+" drops, cap 100 (unlink loop)", this, floor, 1.3)
	const most = 64 << 10
	printRow("  peak memory", "", "", fmt.Sprintf("%.0f MiB", float64(peak)/1024), "less than 64 MiB", verdict(float64(peak), most-1))
}
