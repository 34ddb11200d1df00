package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"spoolagent/queue"
)

func init() {
	helpers["limited"] = func() {
		limitFiles(64)
		helpAgent()
	}
}

func limitFiles(n uint64) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	if err == nil {
		limit.Cur, limit.Max = n, n
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// With 64 open files, 40 projects are served, however much there is to do for
// all of them at once, before the start and after it.
func TestFewOpenFiles(t *testing.T) {
	const projects, drops = 40, 10
	state, top := dir(t), dir(t)
	args := []string{state}
	leave := func(round int) {
		for i := range drops {
			for _, p := range args[1:] {
				drop(t, p, fmt.Sprintf("%d-%d", round, i))
			}
		}
	}
	folded := func(round int) {
		t.Helper()
		eventually(t, "all drops are folded", func() bool {
			for _, p := range args[1:] {
				if len(tools(t, inSpool(p, queue.FileName))) < round*drops {
					return false
				}
			}
			return true
		})
	}
	for i := range projects {
		p := filepath.Join(top, fmt.Sprint(i))
		must(t, os.Mkdir(p, 0o700))
		args = append(args, p)
	}
	leave(1)
	help(t, "limited", `"serving"`, args...)
	folded(1)
	eventually(t, "all are served", func() bool {
		n := 0
		for _, p := range args[1:] {
			if h, _, err := Serving(open(t, p)); err == nil && h.PID != 0 && h.State != StateStopped {
				n++
			}
		}
		return n == projects
	})
	leave(2)
	folded(2)
}
