//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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

// What is measured of a backlog runs in a process of its own, so that nobody's
// garbage is collected on its time. The process is this test's binary, told by
// the environment what to do. It prints how long that took.
const childEnv = "SPOOL_BENCH_CHILD"

func child(work string) error {
	what, dir, _ := strings.Cut(work, " ")
	do := fold
	if what == "read" {
		do = bareRead
	}
	start := time.Now()
	err := do(dir)
	fmt.Print(time.Since(start))
	return err
}

func inChild(b *testing.B, what, dir string) time.Duration {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+what+" "+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	took, perr := time.ParseDuration(string(out))
	if err := errors.Join(err, perr); err != nil {
		b.Fatalf("%s %s: %v", what, dir, err)
	}
	return took
}

// fold is what an agent does with a project that nobody has served for long,
// configured as by default but for the cap.
func fold(project string) error {
	sp, err := spoolfiles.Open(project)
	if err != nil {
		return err
	}
	defer sp.Close()
	opt := queue.DefaultOptions()
	opt.Cap = 0
	_, err = queue.New(sp, opt, nil).Fold(context.Background())
	return err
}

// bareRead opens, looks at, reads, closes and unlinks every file, with nothing
// between it and the system calls.
func bareRead(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for _, name := range names {
		if err := bareReadFile(int(d.Fd()), name, buf); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func bareReadFile(dir int, name string, buf []byte) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if _, err := unix.Read(fd, buf); err != nil {
		return err
	}
	if err := unix.Close(fd); err != nil {
		return err
	}
	return unix.Unlinkat(dir, name, 0)
}

// fill leaves n drops, straight in the directory: how they came is not measured
// here. It returns once the disk has them.
func fill(b *testing.B, incoming string, n int) {
	for i := range n {
		name := fmt.Sprintf("%d-12345-%013d.json", time.Now().UnixNano(), i)
		agenttest.Write(b, filepath.Join(incoming, name),
			fmt.Sprintf(`{"recorded_at":1763852400,"tool_name":"Bash","cwd":"/home/u/repo","payload":"%07d %0200d"}`, i, 0))
	}
	unix.Sync()
}

// foldAll measures what the queue does with a backlog against what a bare loop
// does with as many files. Each gets a new backlog each time.
func foldAll(b *testing.B, dir string) {
	n := times(10_000, 2_000)
	u := agenttest.NewUserIn(b, dir)
	round := 0
	m := inTurns(times(9, 3),
		func() time.Duration {
			round++
			project := u.Project(fmt.Sprint("project-", round))
			incoming := spool(project, "incoming")
			fill(b, incoming, n)
			took := inChild(b, "fold", project)
			unix.Sync()
			if left, queued := len(agenttest.List(b, incoming)), lines(b, spool(project, "distill-pending.queue")); left != 0 || queued != n {
				b.Fatalf("after the fold %d drops are left and %d signals are queued, want 0 and %d", left, queued, n)
			}
			return took
		},
		func() time.Duration {
			round++
			files := filepath.Join(dir, fmt.Sprint("files-", round))
			agenttest.Mkdir(b, files)
			fill(b, files, n)
			took := inChild(b, "read", files)
			unix.Sync()
			return took
		})
	speed := float64(m[1]) / float64(m[0])
	printRow(fmt.Sprintf("folding %s drops, no cap (open..unlink loop)", thousands(n)), short(m[0]), short(m[1]),
		fmt.Sprintf("%.2f x speed", speed), "0.50 x the speed", verdict(0.5, speed))
}

// lines counts the lines of a file that are not blank.
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
