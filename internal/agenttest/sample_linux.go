//go:build linux

package agenttest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Sample is what a process has and uses at one moment.
type Sample struct {
	RSS     int // KiB that are resident; also Peak
	Peak    int // the most that it ever was
	Anon    int // KiB of RSS that are the process's own, and not of a file
	Threads int
	Files   int // open descriptors
	Watches int // of inotify
}

// Look takes a sample of a process.
func Look(pid int) (s Sample, err error) {
	status, err := os.ReadFile(proc(pid, "status"))
	if err != nil {
		return s, err
	}
	for name, to := range map[string]*int{"VmRSS": &s.RSS, "VmHWM": &s.Peak, "RssAnon": &s.Anon, "Threads": &s.Threads} {
		if *to, err = field(status, name); err != nil {
			return s, err
		}
	}
	infos, err := os.ReadDir(proc(pid, "fdinfo"))
	if err != nil {
		return s, err
	}
	s.Files = len(infos)
	for _, e := range infos {
		target, err := os.Readlink(proc(pid, "fd", e.Name()))
		if err != nil || target != "anon_inode:inotify" {
			continue // or it has been closed meanwhile
		}
		info, err := os.ReadFile(proc(pid, "fdinfo", e.Name()))
		if err == nil {
			s.Watches += bytes.Count(info, []byte("inotify wd:"))
		}
	}
	return s, nil
}

// Activity is what a process has done since its start. What a thread that has
// ended did is not in it.
type Activity struct {
	CPU      time.Duration
	Switches int // context switches that its threads made of themselves: each is a wait, and a wake-up after it
}

// Watch sums up what the threads of a process have done.
func Watch(pid int) (a Activity, err error) {
	tasks, err := os.ReadDir(proc(pid, "task"))
	if err != nil {
		return a, err
	}
	for _, t := range tasks {
		status, err := os.ReadFile(proc(pid, "task", t.Name(), "status"))
		if gone(err) {
			continue
		}
		if err != nil {
			return a, err
		}
		n, err := field(status, "voluntary_ctxt_switches")
		if err != nil {
			return a, err
		}
		a.Switches += n
		sched, err := os.ReadFile(proc(pid, "task", t.Name(), "schedstat"))
		if gone(err) {
			continue
		}
		if err != nil {
			return a, err
		}
		ran, _, _ := strings.Cut(string(sched), " ") // nanoseconds
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return a, fmt.Errorf("schedstat of a thread: %w", err)
		}
		a.CPU += time.Duration(ns)
	}
	return a, nil
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// field is a number in a status file.
func field(status []byte, name string) (int, error) {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.Atoi(strings.Fields(value + " ?")[0])
		}
	}
	return 0, fmt.Errorf("the status of a process has no %s", name)
}

func proc(pid int, elem ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(pid)}, elem...)...)
}
