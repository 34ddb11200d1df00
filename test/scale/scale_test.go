//go:build linux

package scale

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"spoolagent/agent"
	"spoolagent/internal/agenttest"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

const (
	// perProject is how many descriptors a project takes where there are enough:
	// its spool, the four directories in it, and the lock.
	perProject = 6
	// watchesEach is how many directories of a project are watched.
	watchesEach = 3

	patience = 3 * time.Minute // for anything that must happen at all
)

// full says whether to test at full size.
func full() bool { return os.Getenv("SPOOL_SCALE") == "full" }

func size(large, moderate int) int {
	if full() {
		return large
	}
	return moderate
}

// stage is one agent with its projects.
type stage struct {
	*testing.T
	agent, dir, state string
	projects          []string
	log               bytes.Buffer
	cmd               *exec.Cmd
	began             time.Time
}

func newStage(t *testing.T, projects int, config string) *stage {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, dir: dir, agent: filepath.Join(dir, "agent"), state: filepath.Join(dir, "state", "spool-agent")}
	cmd := exec.Command("go", "build", "-trimpath", "-o", s.agent, "spoolagent/cmd/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	registry := filepath.Join(s.state, "projects")
	s.mkdir(registry)
	s.mkdir(filepath.Join(dir, "config", "spool-agent"))
	s.write(filepath.Join(dir, "config", "spool-agent", "config.toml"), config)
	for i := range projects {
		p := s.project(fmt.Sprintf("project-%04d", i))
		// As the hook does; agent.Register would read them all, each time.
		s.write(filepath.Join(registry, fmt.Sprintf("%04d", i)), p+"\n")
		s.projects = append(s.projects, p)
	}
	return s
}

// project makes one with a spool.
func (s *stage) project(name string) string {
	p := filepath.Join(s.dir, "projects", name)
	s.mkdir(p)
	sp, err := spoolfiles.Create(p)
	if err == nil {
		err = sp.Close()
	}
	if err != nil {
		s.Fatal(err)
	}
	return p
}

func (s *stage) mkdir(path string) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// run starts the agent, perhaps by another command, which becomes the agent.
func (s *stage) run(by ...string) {
	argv := append(by, s.agent, "run", "--log-level", "error")
	s.cmd = exec.Command(argv[0], argv[1:]...)
	s.cmd.Env = append(os.Environ(), "HOME="+s.dir,
		"XDG_STATE_HOME="+filepath.Join(s.dir, "state"), "XDG_CONFIG_HOME="+filepath.Join(s.dir, "config"))
	s.cmd.Stderr = &s.log
	s.began = time.Now()
	if err := s.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		if err := s.cmd.Wait(); err != nil {
			s.Errorf("the agent: %v\n%s", err, s.log.String())
		}
	})
}

// states counts the projects by their states; none if the agent does not run.
func (s *stage) states() map[agent.State]int {
	infos, err := agent.Running(s.state)
	if err != nil {
		s.Fatal(err)
	}
	n := map[agent.State]int{}
	for _, i := range infos {
		for _, p := range i.Projects {
			n[p.State]++
		}
	}
	return n
}

// until waits for a condition, and returns when it was true.
func (s *stage) until(what string, ok func() bool) time.Time {
	s.Helper()
	return s.within(2*time.Millisecond, what, ok)
}

// within is until for who measures: to within this time.
func (s *stage) within(exact time.Duration, what string, ok func() bool) time.Time {
	s.Helper()
	tick := time.NewTicker(exact)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			s.Fatalf("never came true: %s; the states are %v", what, s.states())
		}
	}
	return time.Now()
}

func (s *stage) look() agenttest.Sample {
	r, err := agenttest.Look(s.cmd.Process.Pid)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// drop leaves a drop in a project, and returns how long it is until it can be
// read in the queue.
func (s *stage) drop(project string) time.Duration {
	text := spoolfiles.NewID()
	sp, err := spoolfiles.Open(project)
	if err != nil {
		s.Fatal(err)
	}
	defer sp.Close()
	tmp := filepath.Join(sp.Tmp.Path(), text)
	s.write(tmp, fmt.Sprintf(`{"recorded_at":1,"cwd":"/w","payload":"%s"}`, text))
	start := time.Now()
	if err := os.Rename(tmp, filepath.Join(sp.Incoming.Path(), text+".json")); err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(sp.Root.Path(), queue.FileName)
	return s.within(50*time.Microsecond, "the drop is in the queue of "+project, func() bool {
		lines, err := os.ReadFile(path)
		return err == nil && bytes.Contains(lines, []byte(text))
	}).Sub(start)
}

// latency measures n drops in projects that are chosen by chance, at moments
// that are chosen by chance within a time.
func (s *stage) latency(n int, within time.Duration) (median, p99 time.Duration) {
	var all []time.Duration
	for range n {
		<-time.After(rand.N(within))
		all = append(all, s.drop(s.projects[rand.IntN(len(s.projects))]))
	}
	slices.Sort(all)
	return all[n/2], all[n*99/100]
}

// cpu is the share of one processor that the agent uses over a time.
func (s *stage) cpu(over time.Duration) float64 {
	before, err := agenttest.Watch(s.cmd.Process.Pid)
	if err != nil {
		s.Fatal(err)
	}
	start := time.Now()
	<-time.After(over)
	after, err := agenttest.Watch(s.cmd.Process.Pid)
	if err != nil {
		s.Fatal(err)
	}
	return 100 * float64(after.CPU-before.CPU) / float64(time.Since(start))
}

func (s *stage) row(what, format string, args ...any) {
	s.Logf("%-46s %s", what, fmt.Sprintf(format, args...))
}

func (s *stage) sizes(what string) {
	r := s.look()
	s.row(what, "%.1f MiB resident (at most %.1f), %d descriptors, %d watches, %d threads",
		float64(r.RSS)/1024, float64(r.Peak)/1024, r.Files, r.Watches, r.Threads)
}

func TestManyProjects(t *testing.T) {
	n := size(1000, 200)

	s := newStage(t, n, "fsync = false\n")
	s.run()
	s.row(fmt.Sprintf("%d projects: all served after", n), "%v",
		s.until("all are served", func() bool { return s.states()[agent.StateServing] == n }).Sub(s.began).Round(time.Millisecond))
	if r := s.look(); r.Watches < watchesEach*n || r.Watches > watchesEach*n+2 || r.Files > perProject*n+30 {
		t.Errorf("%d projects take %d watches and %d descriptors", n, r.Watches, r.Files)
	}
	s.sizes("  then")
	median, p99 := s.latency(size(1000, 50), 10*time.Millisecond)
	s.row("  from a drop's rename to the queue, no fsync", "%v (median), %v (99th percentile)", median.Round(10*time.Microsecond), p99.Round(10*time.Microsecond))

	var all []time.Duration
	for i := range size(50, 5) {
		p := s.project(fmt.Sprintf("later-%d", i))
		start := time.Now()
		if added, err := agent.Register(s.state, p); !added || err != nil {
			t.Fatal(added, err)
		}
		lock := filepath.Join(p, spoolfiles.DirName, "agent.lock")
		all = append(all, s.within(50*time.Microsecond, "it is served", func() bool {
			_, err := os.Stat(lock)
			return err == nil
		}).Sub(start))
		s.drop(p)
	}
	slices.Sort(all)
	s.row("  from a registration to the project's lock", "%v (median), %v (longest)", all[len(all)/2].Round(10*time.Microsecond), all[len(all)-1].Round(10*time.Microsecond))
	s.sizes("  in the end")
}

// Far more projects than there are watches: all are served, and when the limit
// is raised all get their watches, without a restart. The limit is lowered in a
// user namespace of the agent's own.
func TestBeyondTheWatchLimit(t *testing.T) {
	n, watches := size(5000, 300), size(3000, 200)
	for _, tool := range []string{"unshare", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here: %v", tool, err)
		}
	}
	const limit = `echo "$1" >/proc/sys/user/max_inotify_watches && shift && exec "$@"`
	if out, err := exec.Command("unshare", "-U", "-r", "sh", "-c", limit, "sh", "1", "true").CombinedOutput(); err != nil {
		t.Skipf("no user namespaces here: %v: %s", err, out)
	}

	scan := time.Duration(size(60, 2)) * time.Second
	s := newStage(t, n, fmt.Sprintf("fsync = false\nscan_interval = \"%v\"\n", scan))
	s.run("unshare", "-U", "-r", "sh", "-c", limit, "sh", fmt.Sprint(watches))
	served := s.until("all are served", func() bool {
		n := s.states()
		return n[agent.StateServing]+n[agent.StatePolling] == len(s.projects)
	}).Sub(s.began)
	states := s.states()
	s.row(fmt.Sprintf("%d projects, %d watches: all served after", n, watches), "%v; %d with watches, %d polled",
		served.Round(time.Millisecond), states[agent.StateServing], states[agent.StatePolling])
	// The registry has one, and of a project without all of its three none is kept.
	if got := states[agent.StateServing]; got > watches/watchesEach || got < watches/watchesEach-5 {
		t.Errorf("%d projects have watches, of which there are %d", got, watches)
	}
	s.sizes("  then")
	median, p99 := s.latency(size(100, 10), time.Second)
	s.row("  from a drop's rename to the queue", "%v (median), %v (99th percentile)", median.Round(time.Millisecond), p99.Round(time.Millisecond))
	s.row("  costs, with its safety scan", "%.1f %% of a processor", s.cpu(scan))

	raised := time.Now()
	raise := exec.Command("nsenter", "-U", "-t", fmt.Sprint(s.cmd.Process.Pid), "sh", "-c", `echo "$1" >/proc/sys/user/max_inotify_watches`, "sh", fmt.Sprint(2*watchesEach*n))
	if out, err := raise.CombinedOutput(); err != nil {
		t.Fatalf("raising the limit: %v: %s", err, out)
	}
	s.row("  the limit raised: all have watches after", "%v", s.until("all have watches", func() bool { return s.states()[agent.StateServing] == n }).Sub(raised).Round(time.Millisecond))
	median, p99 = s.latency(size(200, 10), 10*time.Millisecond)
	s.row("  from a drop's rename to the queue", "%v (median), %v (99th percentile)", median.Round(10*time.Microsecond), p99.Round(10*time.Microsecond))
	s.sizes("  in the end")
	if err := s.cmd.Process.Signal(syscall.Signal(0)); errors.Is(err, os.ErrProcessDone) {
		t.Error("the agent has ended")
	}
}
