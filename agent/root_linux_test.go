//go:build root

package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"spoolagent/agent/watch"
)

// fuseMount mounts a directory once more, through a FUSE server. stop makes that
// hang, as a file server does that is gone; cont makes it go on.
func fuseMount(t *testing.T, of string) (at string, stop, cont func()) {
	t.Helper()
	at = dir(t)
	cmd := exec.Command("bindfs", "-f", "--no-allow-other", of, at)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill() // what still waits for it gets an error
		<-ended
		syscall.Unmount(at, syscall.MNT_DETACH)
	})
	eventually(t, "it is mounted", func() bool { return watch.Foreign(at) == "FUSE" })
	signal := func(sig syscall.Signal) func() {
		return func() { must(t, cmd.Process.Signal(sig)) }
	}
	return at, signal(syscall.SIGSTOP), signal(syscall.SIGCONT)
}

// A file system that tells of no events is polled, and one that does not answer
// holds up nobody else: not the start of the agent, not another project, not a
// report, not the end.
func TestRootFileSystemThatHangs(t *testing.T) {
	behind := dir(t)
	at, stop, cont := fuseMount(t, behind)
	var remote []string
	for _, name := range []string{"1", "2", "3", "4", "5", "6"} { // more than may scan at once
		remote = append(remote, filepath.Join(at, name))
		must(t, os.Mkdir(filepath.Join(behind, name), 0o700))
	}
	state, local := dir(t), dir(t)
	for _, p := range append(remote, local) {
		registerNew(t, state, p)
	}
	cfg := Config{User: true, StateDir: state, Settings: Settings{ScanInterval: 100 * time.Millisecond, Options: options()}}
	r := start(t, cfg)
	for _, p := range remote {
		if s := r.until(p, StatePolling); !strings.Contains(s.Message, "FUSE") {
			t.Errorf("the state says %q", s.Message)
		}
	}
	r.until(local, StateServing)
	drop(t, remote[0], "a")
	queued(t, filepath.Join(behind, "1"), "a")

	stop()
	t.Cleanup(cont)
	for _, p := range remote {
		if s := r.until(p, StateError); !strings.Contains(s.Message, "has not answered") {
			t.Errorf("the state says %q", s.Message)
		}
	}
	drop(t, local, "b")
	queued(t, local, "b")
	added := dir(t)
	registerNew(t, state, added)
	r.until(added, StateServing)
	must(t, r.end())

	// From the start.
	cfg.StateDir = state
	r = start(t, cfg)
	r.until(local, StateServing)
	drop(t, local, "c")
	queued(t, local, "b", "c")
	drop(t, filepath.Join(behind, "1"), "d")
	cont()
	for _, p := range remote {
		r.until(p, StatePolling)
	}
	queued(t, filepath.Join(behind, "1"), "a", "d")
	must(t, r.end())
}

// A pattern whose directories do not answer delays neither the start nor the
// other sources.
func TestRootPatternThatHangs(t *testing.T) {
	behind := dir(t)
	must(t, os.Mkdir(filepath.Join(behind, "1"), 0o700))
	at, stop, cont := fuseMount(t, behind)
	stop()
	t.Cleanup(cont)
	state, local := dir(t), dir(t)
	registerNew(t, state, local)
	told := &supervisor{ready: make(chan struct{}, 10)}
	r := start(t, Config{User: true, StateDir: state, Notify: told.tell, Settings: Settings{
		Options: options(), ScanInterval: 100 * time.Millisecond, Patterns: []string{filepath.Join(at, "*")},
	}})
	r.until(local, StateServing)
	<-told.ready
	drop(t, local, "a")
	queued(t, local, "a")
	cont()
	drop(t, filepath.Join(behind, "1"), "b")
	r.until(filepath.Join(at, "1"), StatePolling)
	queued(t, filepath.Join(behind, "1"), "b")
}

func TestRootOneDirectoryTwoNames(t *testing.T) {
	p, state := dir(t), dir(t)
	link := filepath.Join(dir(t), "link")
	must(t, os.Symlink(p, link))
	mounted := dir(t)
	must(t, syscall.Mount(p, mounted, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { syscall.Unmount(mounted, syscall.MNT_DETACH) })
	for _, name := range []string{p, link, mounted} {
		registerNew(t, state, name)
	}
	r := start(t, Config{User: true, StateDir: state})
	var served string
	eventually(t, "it is served once", func() bool {
		served = ""
		others := 0
		for _, name := range []string{p, link, mounted} {
			switch s := r.project(name); {
			case s.State == StateServing:
				served = name
			case strings.HasPrefix(s.Message, "the same directory as"):
				others++
			}
		}
		return served != "" && others == 2
	})
	drop(t, link, "x")
	queued(t, p, "x")

	// Another name takes over from one that is not wanted any more.
	removeOnly(t, state, served)
	eventually(t, "another name is served", func() bool {
		for _, name := range []string{p, link, mounted} {
			if name != served && r.project(name).State == StateServing {
				return true
			}
		}
		return false
	})
	drop(t, link, "y")
	queued(t, p, "x", "y")
}
