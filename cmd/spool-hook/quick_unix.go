//go:build unix

package main

import (
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"spoolagent/spoolfiles"
)

// quick stores the event if all is as the drop before has left it: the directories
// are there and private, recording is on, and the project is registered. This takes
// a third of the system calls that are needed where anything may be missing. If it
// returns false it has read nothing and stored nothing.
func quick(project, registry, name string, event io.WriterTo) bool {
	unix.Umask(0o077) // the tool's may take even the owner's permissions
	spool := openDir(unix.AT_FDCWD, filepath.Join(project, spoolfiles.DirName))
	tmp, incoming := openDir(spool, "tmp"), openDir(spool, "incoming")
	if spool < 0 || tmp < 0 || incoming < 0 || !registered(spool, registry, project) {
		return false
	}
	for _, name := range []string{"off", "config.toml", "rules.toml"} {
		if unix.Fstatat(spool, name, new(unix.Stat_t), unix.AT_SYMLINK_NOFOLLOW) != unix.ENOENT {
			return false
		}
	}
	fd, err := unix.Openat(tmp, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), name)
	n, err := event.WriteTo(f)
	if closed := f.Close(); err != nil || closed != nil || n == 0 || unix.Renameat(tmp, name, incoming, name) != nil {
		unix.Unlinkat(tmp, name, 0)
	}
	return true
}

// openDir opens a directory that is no link, this user's, and private; else it
// returns -1.
func openDir(at int, name string) int {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	var st unix.Stat_t
	if err != nil || unix.Fstat(fd, &st) != nil || int(st.Uid) != os.Geteuid() || st.Mode&0o777 != 0o700 {
		return -1
	}
	return fd
}

// registered reports whether the spool's mark is a link to the registration of
// the project under this path.
func registered(spool int, registry, project string) bool {
	buf := make([]byte, 1024)
	n, err := unix.Readlinkat(spool, ".registered", buf)
	if err != nil {
		return false
	}
	file := string(buf[:n])
	if filepath.Dir(file) != registry {
		return false
	}
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	n, err = unix.Read(fd, buf)
	return err == nil && string(buf[:n]) == project+"\n"
}
