package doctor

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"spoolagent/agent"
)

// used counts what this user's processes have taken: the kernel tells it of
// each descriptor in /proc.
func used(server *agent.Info) (u usage, ok bool) {
	// The limit of a container's own user namespace may be lower.
	u.maxWatches = least("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches")
	u.maxInstances = least("/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances")
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return u, false
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(filepath.Join("/proc", p.Name()), &st) != nil || int(st.Uid) != os.Geteuid() {
			continue
		}
		instances, watches := inotifyOf(filepath.Join("/proc", p.Name()))
		u.instances += instances
		u.watches += watches
		if pid == pidOf(server) {
			u.agentWatches = watches
		}
	}
	u.agentDescriptors = descriptorLimit(pidOf(server))
	return u, true
}

// inotifyOf counts the inotify instances of a process, and their watches.
// Forks share an instance, and each is counted: rather too many than too few.
func inotifyOf(proc string) (instances, watches int) {
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return 0, 0
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(proc, "fd", fd.Name())); err != nil || to != "anon_inode:inotify" {
			continue
		}
		instances++
		info, err := os.ReadFile(filepath.Join(proc, "fdinfo", fd.Name()))
		if err != nil {
			continue
		}
		watches += bytes.Count(info, []byte("inotify wd:"))
	}
	return instances, watches
}

// descriptorLimit is how many files a process may have open; with 0, this one.
func descriptorLimit(pid int) int {
	name := "self"
	if pid != 0 {
		name = strconv.Itoa(pid)
	}
	f, err := os.Open(filepath.Join("/proc", name, "limits"))
	if err != nil {
		return unknown
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		rest, found := strings.CutPrefix(lines.Text(), "Max open files")
		if fields := strings.Fields(rest); found && len(fields) > 0 {
			if n, err := strconv.Atoi(fields[0]); err == nil { // else it is "unlimited"
				return n
			}
		}
	}
	return unknown
}

// least is the least number that is in any of these files, else unknown.
func least(paths ...string) int {
	least := unknown
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && (least == unknown || n < least) {
			least = n
		}
	}
	return least
}

// isStopped reports whether a process was stopped by a signal.
func isStopped(pid int) bool {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	// The state follows the program's name, which may have anything in it.
	rest := data[bytes.LastIndexByte(data, ')')+1:]
	return bytes.HasPrefix(rest, []byte(" T"))
}

// pidOf is the agent's process, or 0.
func pidOf(a *agent.Info) int {
	if a == nil {
		return 0
	}
	return a.PID
}
