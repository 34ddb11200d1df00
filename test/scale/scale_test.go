//go:build linux && long

package scale

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"spoolagent/internal/agenttest"
)

// With -short everything is a tenth as large as is promised.
func size(large, moderate int) int {
	if testing.Short() {
		return moderate
	}
	return large
}

const (
	// perProject is how many descriptors a project takes where there are enough:
	// its spool, the directories in it, and the lock.
	perProject = 6
	// watchesEach is how many directories of a project are watched.
	watchesEach = 3
)

// stage is one agent with its projects.
type stage struct {
	*agenttest.User
	projects []string
	agent    *agenttest.Process
	began    time.Time
}

func newStage(t *testing.T, projects int, config string) *stage {
	s := &stage{User: agenttest.NewUser(t)}
	s.Configure(config)
	for i := range projects {
		name := fmt.Sprintf("project-%04d", i)
		s.projects = append(s.projects, s.Project("projects", name))
		s.Register(s.projects[i], name)
	}
	return s
}

// run starts the agent, perhaps by another command, which becomes the agent.
func (s *stage) run(by ...string) {
	argv := append(by, s.Agent("run", "--log-level", "error").Args...)
	s.began = time.Now()
	s.agent = s.Start(s.Command(argv[0], argv[1:]...))
}

// locked waits until every project has an agent, and returns when. To ask for
// the status of so many would slow down what is measured.
func (s *stage) locked() time.Duration {
	for _, p := range s.projects {
		agenttest.Until(s, "there is an agent's lock in "+p, func() bool { return locked(p) })
	}
	return time.Since(s.began).Round(time.Millisecond)
}

func locked(project string) bool {
	_, err := os.Stat(filepath.Join(project, ".spool", "agent.lock"))
	return err == nil
}

func (s *stage) sample() agenttest.Sample {
	r, err := agenttest.Look(s.agent.Process.Pid)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// drop leaves a drop in a project, and returns how long it is until it can be
// read in the queue.
func (s *stage) drop(project string) time.Duration {
	text := fmt.Sprintf("%016x", rand.Uint64())
	spool := filepath.Join(project, ".spool")
	tmp := filepath.Join(spool, "tmp", text)
	agenttest.Write(s, tmp, fmt.Sprintf(`{"recorded_at":1,"cwd":"/w","payload":"%s"}`, text))
	start := time.Now()
	if err := os.Rename(tmp, filepath.Join(spool, "incoming", text+".json")); err != nil {
		s.Fatal(err)
	}
	agenttest.Within(s, 50*time.Microsecond, "the drop is in the queue of "+project, func() bool {
		lines, err := os.ReadFile(filepath.Join(spool, "distill-pending.queue"))
		return err == nil && bytes.Contains(lines, []byte(text))
	})
	return time.Since(start)
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
	before, err := agenttest.Watch(s.agent.Process.Pid)
	if err != nil {
		s.Fatal(err)
	}
	start := time.Now()
	<-time.After(over)
	after, err := agenttest.Watch(s.agent.Process.Pid)
	if err != nil {
		s.Fatal(err)
	}
	return 100 * float64(after.CPU-before.CPU) / float64(time.Since(start))
}

func (s *stage) row(what, format string, args ...any) {
	s.Logf("%-46s %s", what, fmt.Sprintf(format, args...))
}

func (s *stage) sizes(what string) {
	r := s.sample()
	s.row(what, "%.1f MiB resident (at most %.1f), %d descriptors, %d watches, %d threads",
		float64(r.RSS)/1024, float64(r.Peak)/1024, r.Files, r.Watches, r.Threads)
}

func TestManyProjects(t *testing.T) {
	n := size(1000, 100)
	s := newStage(t, n, "fsync = false\n")
	s.run()
	s.row(fmt.Sprintf("%d projects: all served after", n), "%v", s.locked())
	agenttest.Until(t, "all are watched", func() bool { return s.sample().Watches >= watchesEach*n })
	agenttest.Until(t, "all are served", func() bool { return s.States()["serving"] == n })
	if r := s.sample(); r.Watches > watchesEach*n+2 || r.Files > perProject*n+30 {
		t.Errorf("%d projects take %d watches and %d descriptors", n, r.Watches, r.Files)
	}
	s.sizes("  then")
	median, p99 := s.latency(size(1000, 50), 10*time.Millisecond)
	s.row("  from a drop's rename to the queue, no fsync", "%v (median), %v (99th percentile)", median.Round(10*time.Microsecond), p99.Round(10*time.Microsecond))

	var all []time.Duration
	for i := range size(50, 5) {
		name := fmt.Sprintf("later-%d", i)
		p := s.Project("projects", name)
		start := time.Now()
		s.Register(p, name)
		agenttest.Within(s, 50*time.Microsecond, "it is served", func() bool { return locked(p) })
		all = append(all, time.Since(start))
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
	const limit = `echo "$1" >/proc/sys/user/max_inotify_watches && shift && exec "$@"`
	unshare, nsenter := agenttest.Tool(t, "unshare"), agenttest.Tool(t, "nsenter")

	scan := time.Duration(size(60, 2)) * time.Second
	s := newStage(t, n, fmt.Sprintf("fsync = false\nscan_interval = \"%v\"\n", scan))
	s.run(unshare, "-U", "-r", "sh", "-c", limit, "sh", fmt.Sprint(watches))
	served := s.locked()
	var states map[string]int
	agenttest.Until(t, "the agent says which it polls", func() bool {
		states = s.States() // of those of which it has not said anything, only the lock is known
		return states["polling"] >= n-watches/watchesEach && states["serving"]+states["polling"] == n
	})
	s.row(fmt.Sprintf("%d projects, %d watches: all served after", n, watches), "%v; %d with watches, %d polled",
		served, states["serving"], states["polling"])
	// The registry has one, and of a project without all of its three none is kept.
	if got := states["serving"]; got < watches/watchesEach-5 {
		t.Errorf("%d projects have watches, of which there are %d", got, watches)
	}
	s.sizes("  then")
	median, p99 := s.latency(size(100, 10), time.Second)
	s.row("  from a drop's rename to the queue", "%v (median), %v (99th percentile)", median.Round(time.Millisecond), p99.Round(time.Millisecond))
	s.row("  costs, with its safety scan", "%.1f %% of a processor", s.cpu(scan))

	raised := time.Now()
	// Without its credentials kept, an ordinary user's nsenter wants to drop groups, and may not.
	s.Do(s.Command(nsenter, "--preserve-credentials", "-U", "-t", fmt.Sprint(s.agent.Process.Pid),
		"sh", "-c", `echo "$1" >/proc/sys/user/max_inotify_watches`, "sh", fmt.Sprint(2*watchesEach*n)))
	agenttest.Until(s, "all have watches", func() bool { return s.States()["serving"] == n })
	s.row("  the limit raised: all have watches after", "%v", time.Since(raised).Round(time.Millisecond))
	median, p99 = s.latency(size(200, 10), 10*time.Millisecond)
	s.row("  from a drop's rename to the queue", "%v (median), %v (99th percentile)", median.Round(10*time.Microsecond), p99.Round(10*time.Microsecond))
	s.sizes("  in the end")
	if err := s.agent.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the agent has ended: %v", err)
	}
}
