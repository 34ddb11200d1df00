//go:build linux && powercut

package powercut

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	answerPatience = 15 * time.Second // for the agent to answer, as promised
	stopPatience   = 10 * time.Second
)

// boot is what the kernel tells of its boot.
type boot int

const (
	known      boot = iota // an ID that it never had before
	unreadable             // no ID: the file is missing
	empty                  // no ID: the file is empty
)

func (b boot) String() string {
	return [...]string{"boot ID known", "boot ID unreadable", "boot ID empty"}[b]
}

// host is the machine whose power is cut: a kernel, which runs, and a mounted
// disk, on which programs have their home. dir has its other files.
type host struct {
	dir, mnt string
	boot     boot
}

// newHost writes the agent's configuration and, if any, the boot ID.
func newHost(dir string, c setup) host {
	h := host{dir: dir, mnt: filepath.Join(dir, "mnt"), boot: c.boot}
	text := fmt.Sprintf("cap = %d\nreply_ttl = %q\nscan_interval = \"2s\"\n", c.cap, c.ttl)
	check(os.WriteFile(h.file("config"), []byte(text), 0o600))
	id := must(os.ReadFile("/proc/sys/kernel/random/uuid"))
	if c.boot == empty {
		id = nil
	}
	check(os.WriteFile(h.file("boot"), id, 0o600))
	return h
}

func (h host) file(name string) string { return filepath.Join(h.dir, name) }

// project is the one of the workload, or a file in its spool.
func (h host) project() string           { return h.mnt + "/main" }
func (h host) spool(names string) string { return filepath.Join(h.project(), ".spool", names) }

// other is one of the projects that register themselves.
func (h host) other(n int) string { return fmt.Sprintf("%s/other%d", h.mnt, n) }

// projects are all those that are on the disk.
func (h host) projects() []string {
	return append(must(filepath.Glob(h.mnt+"/other*")), h.project())
}

// command runs in a mount namespace in which the kernel's boot ID is replaced.
func (h host) command(name string, args ...string) *exec.Cmd {
	script := `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`
	if h.boot == unreadable {
		script = `mount -t tmpfs -o ro none /proc/sys/kernel/random && exec "$@"`
	}
	before := []string{"--mount", "--propagation", "slave", "sh", "-c", script, h.file("boot"), name}
	cmd := exec.Command("unshare", append(before, args...)...)
	cmd.Env = h.env()
	return cmd
}

func (h host) env() []string { return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.mnt + "/home"} }

func (h host) agent(args ...string) *exec.Cmd {
	return h.command(agentProgram, append(args, "--config", h.file("config"))...)
}

// process is a running agent.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended
}

// start starts the agent as the service does.
func (h host) start() *process {
	log := must(os.OpenFile(h.file("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600))
	defer log.Close()
	p := &process{cmd: h.agent("run"), done: make(chan struct{})}
	p.cmd.Stderr = log
	check(p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p
}

// stop ends the agent by SIGTERM.
func (p *process) stop() error {
	select {
	case <-p.done:
		return fmt.Errorf("the agent has ended by itself: %v", p.err)
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopPatience):
		p.kill()
		return errors.New("the agent does not end on SIGTERM")
	}
}

// kill ends the agent by SIGKILL, if it runs.
func (p *process) kill() {
	p.cmd.Process.Kill() // fails if it has ended
	<-p.done
}

// place writes a file to tmp and renames it.
func (h host) place(name, to string, data []byte) {
	check(os.WriteFile(h.spool("tmp/"+name), data, 0o600))
	check(os.Rename(h.spool("tmp/"+name), h.spool(to)))
}

// ask requests a drain and returns the reply.
func (h host) ask(id string) (data []byte, err error) {
	h.place(id, "control/"+id+".drain", nil)
	err = poll(answerPatience, "the answer to "+id, func() bool {
		_, err := os.Lstat(h.spool("control/" + id + ".drain"))
		return errors.Is(err, fs.ErrNotExist)
	})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(h.reply(id))
}

func (h host) reply(id string) string { return h.spool("control/" + id + ".signals") }

// hook leaves a signal as a tool does whose working directory the project is.
func (h host) hook(project, id string) {
	check(os.MkdirAll(project, 0o700))
	cmd := exec.Command("sh", hookScript)
	cmd.Dir, cmd.Env = project, h.env()
	cmd.Stdin = bytes.NewReader(event(id))
	run(cmd)
}

// lock opens the project's queue under flock(2). It returns nil where there is
// none, or it was replaced meanwhile.
func lock(project string, how int) *os.File {
	name := project + "/.spool/distill-pending.queue"
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	check(err)
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), how)
	}
	check(err)
	if there, err := os.Stat(name); err != nil || !os.SameFile(must(f.Stat()), there) {
		f.Close()
		return nil
	}
	return f
}

// queued returns what is in a project's queue. A garbled line is an error.
func queued(project string) []string {
	f := lock(project, unix.LOCK_SH)
	if f == nil {
		return nil
	}
	defer f.Close()
	return sound(project+"'s queue", must(io.ReadAll(f)))
}

// totals are those of a project's ledger, and what its queue has.
type totals struct {
	Path   string `json:"path"`
	Queued int    `json:"queued"`
	Error  string `json:"error"`
	Ledger struct {
		Folded   int `json:"folded"`
		Returned int `json:"returned"`
		External int `json:"external"`
		Drained  int `json:"drained"`
		Evicted  int `json:"evicted"`
	} `json:"ledger"`
}

func (t totals) balanced() bool {
	l := t.Ledger
	return l.Folded+l.Returned+l.External == t.Queued+l.Drained+l.Evicted
}

// totals asks the agent's command line for those of the main project.
func (h host) totals() totals { return h.totalsOf(h.project()) }

// totalsOf takes no notice of the exit status.
func (h host) totalsOf(project string) totals {
	out, err := h.agent("status", "--json").Output()
	var s struct {
		Projects []totals `json:"projects"`
	}
	if jerr := json.Unmarshal(out, &s); jerr != nil {
		check(fmt.Errorf("agent status --json: %w, %w: %q", err, jerr, out))
	}
	for _, t := range s.Projects {
		if t.Path == project {
			return t
		}
	}
	return totals{Error: "agent status does not know the project"}
}
