//go:build linux && long

package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"spoolagent/internal/agenttest"
)

// with lends a project to somebody who uses it.
func (s *stage) with(use func(p *project)) {
	p := s.projects[rand.IntN(len(s.projects))]
	p.life.RLock()
	defer p.life.RUnlock()
	use(p)
}

// alone lends a project to somebody who would disturb others.
func (s *stage) alone(use func(p *project)) {
	p := s.projects[rand.IntN(len(s.projects))]
	p.life.Lock()
	defer p.life.Unlock()
	use(p)
}

// produce leaves drops, in every way there is.
func (s *stage) produce(ctx context.Context) {
	for ; ctx.Err() == nil; s.pause(ctx, rand.N(60*time.Millisecond)) {
		s.with(func(p *project) {
			switch n := rand.IntN(20); {
			case n < 9:
				s.runs(p, event(p.give(&p.dropped)), "sh", s.hook)
				s.counts.hooks.Add(1)
			case n < 11:
				s.runs(p, event(p.give(&p.dropped)), s.Agent().Path, "drop", "--hook", "--project", p.path)
				s.counts.verbs.Add(1)
			case n < 19:
				for range 1 + rand.IntN(10) {
					agenttest.Drop(s, p.path, p.give(&p.dropped))
					s.counts.drops.Add(1)
				}
			default:
				s.dropBad(p)
			}
		})
	}
}

// dropBad leaves what can only be rejected.
func (s *stage) dropBad(p *project) {
	s.MakeSpool(p.path)
	p.rejectable()
	name := unique() + ".json"
	tmp, to := p.spool("tmp", name), p.spool("incoming", name)
	var err error
	switch rand.IntN(4) {
	case 0:
		err = os.Mkdir(tmp, 0o700)
	case 1:
		err = os.Symlink("/etc/passwd", tmp)
	case 2:
		err = os.WriteFile(tmp, []byte("no signal, "+name), 0o600)
	case 3:
		err = os.WriteFile(tmp, nil, 0o600)
	}
	if err = errors.Join(err, os.Rename(tmp, to)); err != nil {
		s.Errorf("bad drop: %v", err)
	}
	s.counts.bad.Add(1)
}

func event(name string) string {
	return agenttest.Event(name, strings.Repeat("x", rand.IntN(2000)))
}

// unique is a name that nothing else has.
func unique() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// runs runs a command that must succeed and say nothing.
func (s *stage) runs(p *project, stdin string, argv ...string) {
	c := s.Command(argv[0], argv[1:]...)
	c.Dir = p.path
	s.Quiet(c, stdin)
}

// consume drains: by "agent drain" and by the control file, to the end or not.
func (s *stage) consume(ctx context.Context) {
	for ; ctx.Err() == nil; s.pause(ctx, rand.N(300*time.Millisecond)) {
		s.with(func(p *project) {
			switch rand.IntN(8) {
			case 0, 1:
				s.drain(p)
			case 2:
				s.drainKilled(p)
			case 3:
				s.drainClosed(p)
			case 4:
				s.desert(p)
			default:
				s.request(p)
			}
		})
	}
}

func (s *stage) drainCommand(p *project) (c *exec.Cmd, out, errs *bytes.Buffer) {
	c, out, errs = s.Agent("drain", "--timeout", "60s", "--project", p.path), &bytes.Buffer{}, &bytes.Buffer{}
	c.Stdout, c.Stderr = out, errs
	return c, out, errs
}

func (s *stage) drain(p *project) {
	c, out, errs := s.drainCommand(p)
	if err := c.Run(); err != nil {
		s.Errorf("drain: %v: %s", err, errs)
		return
	}
	p.took("agent drain", &p.drained, out.Bytes())
	s.counts.drains.Add(1)
}

// drainKilled is a drain that is killed at some moment.
func (s *stage) drainKilled(p *project) {
	c, out, errs := s.drainCommand(p)
	if err := c.Start(); err != nil {
		s.Errorf("drain: %v", err)
		return
	}
	timer := time.AfterFunc(rand.N(60*time.Millisecond), func() { c.Process.Kill() })
	defer timer.Stop()
	err := c.Wait()
	var ended *exec.ExitError
	switch {
	case err == nil:
		p.took("agent drain", &p.drained, out.Bytes())
	case errors.As(err, &ended) && ended.ExitCode() < 0:
		p.tookPerhaps(out.Bytes())
	default:
		s.Errorf("drain: %v: %s", err, errs)
	}
	s.counts.killed.Add(1)
}

// drainClosed is a drain whose reader is gone: it must give everything back.
func (s *stage) drainClosed(p *project) {
	r, w, err := os.Pipe()
	if err != nil {
		s.Errorf("drain: %v", err)
		return
	}
	r.Close()
	c, _, _ := s.drainCommand(p)
	c.Stdout = w
	c.Run() // what it says depends on whether there was anything
	w.Close()
	s.counts.closed.Add(1)
}

// ask renames a request into place, and returns its id.
func (s *stage) ask(p *project) (id string) {
	s.MakeSpool(p.path)
	id = unique()
	agenttest.Write(s, p.spool("tmp", id), "")
	if err := os.Rename(p.spool("tmp", id), p.spool("control", id+".drain")); err != nil {
		s.Fatalf("request: %v", err)
	}
	return id
}

// desert asks and never claims the reply, which has to return.
func (s *stage) desert(p *project) {
	s.ask(p)
	s.counts.deserted.Add(1)
}

// request asks, and takes the reply; or withdraws if none comes.
func (s *stage) request(p *project) {
	id := s.ask(p)
	s.counts.requests.Add(1)
	reply, refusal, request := p.spool("control", id+".signals"), p.spool("control", id+".error"), p.spool("control", id+".drain")
	withdrawn := false
	for tries := 0; ; tries++ {
		lines, err := os.ReadFile(reply)
		if err == nil {
			// Who deletes it has it. The agent may have taken it back just now.
			if err := os.Remove(reply); err == nil {
				p.took("a consumer", &p.drained, lines)
			} else if errors.Is(err, fs.ErrNotExist) {
				s.counts.unclaimed.Add(1)
			} else {
				s.Errorf("acknowledging: %v", err)
			}
			return
		}
		if text, err := os.ReadFile(refusal); err == nil {
			s.Errorf("a request was refused: %s", text)
			os.Remove(refusal)
			return
		}
		if tries == 100 {
			withdrawn = os.Remove(request) == nil
		}
		if withdrawn {
			s.counts.withdrawn.Add(1)
			return
		}
		if tries > 100 && !exists(request) && !exists(reply) && !exists(refusal) {
			s.counts.gaveUp.Add(1) // answered, and taken back before we saw it
			return
		}
		s.pause(context.Background(), 20*time.Millisecond)
	}
}

// trespass shares the queues by flock(1).
func (s *stage) trespass(ctx context.Context) {
	for ; ctx.Err() == nil; s.pause(ctx, rand.N(200*time.Millisecond)) {
		s.with(func(p *project) {
			path := p.spool("distill-pending.queue")
			if !exists(path) {
				return // a stranger would not make it
			}
			if rand.IntN(4) > 0 {
				s.runs(p, "", "sh", "-c", agenttest.StrangerAppends, "sh", path, p.give(&p.appended))
				s.counts.appends.Add(1)
				return
			}
			out, err := s.Command("sh", "-c", agenttest.StrangerDrains, "sh", path).Output()
			if err != nil {
				s.Errorf("stranger: %v", err)
			}
			p.took("a stranger", &p.taken, out)
			s.counts.foreign.Add(1)
		})
	}
}

// meddle deletes, moves, registers and removes projects, and has the agent
// read its configuration again.
func (s *stage) meddle(ctx context.Context) {
	for ; ctx.Err() == nil; s.pause(ctx, rand.N(400*time.Millisecond)) {
		switch rand.IntN(6) {
		case 0:
			s.alone(s.deleteSpool)
		case 1:
			s.alone(func(p *project) { s.putAside(ctx, p) })
		case 2:
			s.alone(s.moveProject)
		case 3:
			s.with(func(p *project) { s.command("remove", p.path) })
			s.counts.removals.Add(1)
		case 4:
			s.with(func(p *project) { s.command("add", p.path) })
		case 5:
			s.reload()
		}
	}
}

// command runs one of the agent's verbs on a directory.
func (s *stage) command(verb, dir string) { s.Do(s.Agent(verb, dir)) }

func (s *stage) deleteSpool(p *project) {
	spool := p.spool()
	if rand.IntN(2) == 0 {
		trash := filepath.Join(s.Home, "trash-"+unique())
		if err := os.Rename(spool, trash); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("deleting: %v", err)
		}
		spool = trash
	}
	// An agent that is at work in it may add a file, as long as it has not
	// seen that it is deleted.
	agenttest.Until(s, "the spool is deleted", func() bool { return os.RemoveAll(spool) == nil })
	s.counts.excused.Add(int64(p.deleted()))
	s.counts.deletions.Add(1)
}

// putAside moves a spool away for a while.
func (s *stage) putAside(ctx context.Context, p *project) {
	spool := p.spool()
	aside := spool + "-aside"
	if err := os.Rename(spool, aside); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("putting aside: %v", err)
		}
		return
	}
	s.pause(ctx, rand.N(500*time.Millisecond))
	// An agent that has just been started or told of the project has made a
	// new one, which nobody has used.
	agenttest.Until(s, "the spool is back", func() bool {
		return os.RemoveAll(spool) == nil && os.Rename(aside, spool) == nil
	})
	s.counts.aside.Add(1)
}

// moveProject moves a whole project, and registers it where it is then.
func (s *stage) moveProject(p *project) {
	from := p.path
	to := filepath.Join(s.Home, "projects", p.name+" "+unique())
	if err := os.Rename(from, to); err != nil {
		s.Errorf("moving: %v", err)
		return
	}
	p.path = to
	if rand.IntN(2) == 0 {
		s.command("add", to)
		s.command("remove", from)
	} else {
		s.command("remove", from)
		s.command("add", to)
	}
	if strings.Contains(s.Do(s.Agent("list")), from+"\n") {
		s.Errorf("%s is registered still", from)
	}
	s.counts.moves.Add(1)
}
