//go:build linux && tools

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// traced are the calls that are counted and before which processes are killed.
// A question mark: not every machine has this one.
var traced = strings.Split("?open,openat,?creat,read,pread64,write,writev,pwrite64,sendfile,"+
	"truncate,ftruncate,fallocate,fdatasync,fsync,?rename,renameat,renameat2,?unlink,unlinkat,"+
	"?mkdir,mkdirat,?rmdir,?newfstatat,fstat,statx,flock,getdents64,close,faccessat,faccessat2,lseek,?fchmod", ",")

// call is one system call as strace saw it begin.
type call struct {
	name    string
	nth     int // of this name in its thread, from 1: so strace counts
	line    string
	changes bool // what is on the disk
	fails   bool // where a sick disk would make it fail
	ours    bool // its file is in the world of this test
	failed  bool // because we made it
}

func (c call) String() string {
	return fmt.Sprintf("%s no. %d: %s", c.name, c.nth, c.line)
}

var callLine = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)

// parseCalls reads strace's log.
func parseCalls(log, root string) (calls []call) {
	count := map[string]int{}
	for line := range strings.Lines(log) {
		m := callLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue // a call resumed, a signal
		}
		c := call{name: m[2], line: m[3]}
		key := m[1] + c.name
		count[key]++
		c.nth = count[key]
		switch c.name {
		case "write", "writev", "pwrite64", "sendfile", "truncate", "ftruncate", "fallocate", "rename", "renameat",
			"renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir":
			c.changes = true
		case "open", "openat":
			c.changes = strings.Contains(c.line, "O_CREAT") || strings.Contains(c.line, "O_TRUNC")
		}
		c.fails = c.changes || c.name == "fsync" || c.name == "fdatasync"
		c.ours = strings.Contains(c.line, root) || strings.Contains(c.line, `"/proc/self/fd/`)
		c.line = strings.ReplaceAll(c.line, root, "~") // for messages
		c.failed = strings.Contains(c.line, "(INJECTED)")
		calls = append(calls, c)
	}
	return calls
}

// firstOurs leaves out how the process got up.
func firstOurs(calls []call) []call {
	return calls[max(0, slices.IndexFunc(calls, func(c call) bool { return c.ours })):]
}

func filter(calls []call, keep func(call) bool) (kept []call) {
	for _, c := range calls {
		if keep(c) {
			kept = append(kept, c)
		}
	}
	return kept
}

func (c call) sameName(d call) bool { return c.name == d.name }

func changing(c call) bool { return c.ours && c.changes }

// changingSpool leaves out what an agent notes of itself elsewhere.
func changingSpool(c call) bool {
	return changing(c) && (strings.Contains(c.line, "/.spool") || strings.Contains(c.line, ".out>"))
}

func reading(c call) bool { return c.ours && !c.fails && c.name != "close" }
func failing(c call) bool { return c.ours && c.fails }

// kill makes strace kill the process when it is about to do c.
func kill(c call) []string {
	return []string{"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", c.name, c.nth)}
}

// fail makes c fail, and with more everything after it that writes.
func fail(c call, errno string, more []call) []string {
	if more == nil {
		return []string{"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", c.name, errno, c.nth)}
	}
	first := map[string]int{}
	for _, m := range more {
		if n, ok := first[m.name]; !ok || m.nth < n {
			first[m.name] = m.nth
		}
	}
	var args []string
	for _, name := range []string{"write", "pwrite64", "sendfile", "fallocate"} {
		n, ok := first[name]
		if !ok {
			continue
		}
		args = append(args, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d+", name, errno, n))
	}
	return args
}

// result is what became of a process.
type result struct {
	killed bool
	status int
	stdout string
	stderr string
	calls  []call
}

// run runs a program to its end; under strace, with these arguments to it, if
// trace is not nil. If done is given, the program is one that serves until it
// gets SIGTERM, which it gets once done.
func (w *world) run(p program, trace []string, done func(log string) bool) result {
	w.t.Helper()
	w.runs++
	base := filepath.Join(w.root, "run-"+strconv.Itoa(w.runs))
	argv := p.argv
	if trace != nil {
		argv = append([]string{"strace", "-f", "-qq", "-y", "-s", "0", "-e", "signal=none", "-o", base + ".log", "-e", "trace=" + strings.Join(traced, ",")}, trace...)
		argv = append(append(argv, "--"), p.argv...)
	}
	stdout, err := os.Create(base + ".out")
	w.must(err)
	defer stdout.Close()
	stderr, err := os.Create(base + ".err")
	w.must(err)
	defer stderr.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = w.root
	// One thread at a time, and no garbage collector: the same calls in the
	// same threads at each run, as far as Go can be made to do that.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.root, "TMPDIR=" + w.root,
		"XDG_CONFIG_HOME=" + w.root + "/config", "XDG_STATE_HOME=" + w.root + "/state",
		"GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1"}, p.env...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	w.must(cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	var ready func() bool
	if done != nil {
		ready = func() bool { return done(w.read(base + ".err")) }
	}
	err = w.await(cmd.Process.Pid, trace != nil, exited, ready)
	if errors.Is(err, context.DeadlineExceeded) {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-exited
		out, _ := os.ReadFile(base + ".err")
		log, _ := os.ReadFile(base + ".log")
		w.fatalf("%v hangs, or does not do its work; its log:\n%s%s", p.argv, out, log[max(0, len(log)-4000):])
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.must(err)
	}
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	r := result{killed: ws.Signaled() && ws.Signal() == syscall.SIGKILL, status: ws.ExitStatus()}
	r.stdout = w.read(base + ".out")
	r.stderr = w.read(base + ".err")
	if trace != nil {
		r.calls = parseCalls(w.read(base+".log"), w.root)
	}
	if ws.Signaled() && !r.killed || strings.Contains(r.stderr, "strace: ") {
		w.fatalf("%v ended with %v:\n%s", argv, ws.Signal(), r.stderr)
	}
	return r
}

// hang is long enough for what takes a second.
const hang = 5 * time.Minute

func (w *world) await(pid int, traced bool, exited <-chan error, done func() bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(hang)
	for {
		select {
		case err := <-exited:
			return err
		case <-deadline:
			return context.DeadlineExceeded
		case <-tick.C:
		}
		if done == nil || !done() {
			continue
		}
		target := pid
		if traced {
			// strace does not pass signals on to what it traces.
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
			child, err := strconv.Atoi(strings.TrimSpace(string(children)))
			if err != nil {
				continue // it has ended, or is about to begin
			}
			target = child
		}
		syscall.Kill(target, syscall.SIGTERM)
		done = nil
	}
}
