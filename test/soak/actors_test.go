//go:build linux

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

	"spoolagent/agent"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
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

func event(id string) string {
	return fmt.Sprintf(`{"hook_event_name":"PostToolUse","session_id":"s","tool_name":"Bash","tool_input":{"command":"echo"},"tool_response":{"stdout":"%s"},"cwd":"/w","id":"<%s>"}`,
		strings.Repeat("x", rand.IntN(2000)), id)
}

// produce leaves drops, in every way there is.
func (s *stage) produce(ctx context.Context) {
	for ; ctx.Err() == nil; s.pause(ctx, time.Duration(rand.IntN(60))*time.Millisecond) {
		s.with(func(p *project) {
			switch n := rand.IntN(20); {
			case n < 9:
				s.runs(p, event(p.give(&p.dropped)), "sh", s.hook)
				s.counts.hooks.Add(1)
			case n < 11:
				s.runs(p, event(p.give(&p.dropped)), s.agent, "drop", "--hook", "--project", p.path)
				s.counts.verbs.Add(1)
			case n < 19:
				for range 1 + rand.IntN(10) {
					payload := "<" + p.give(&p.dropped) + ">"
					if err := spoolfiles.Drop(p.path, spoolfiles.Signal{RecordedAt: 1, CWD: p.path, Payload: &payload}); err != nil {
						s.Errorf("drop: %v", err)
					}
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
	sp, err := spoolfiles.Create(p.path)
	if err != nil {
		s.Errorf("bad drop: %v", err)
		return
	}
	defer sp.Close()
	p.rejectable()
	name := spoolfiles.NewID() + ".json"
	tmp, to := filepath.Join(sp.Tmp.Path(), name), filepath.Join(sp.Incoming.Path(), name)
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

// runs runs a command that must succeed and say nothing.
func (s *stage) runs(p *project, stdin string, argv ...string) {
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Stdin = p.path, strings.NewReader(stdin)
	c.Env = append(os.Environ(), "CLAUDE_PROJECT_DIR="+p.path)
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		s.Errorf("%v: %v %q", argv, err, out)
	}
}

// consume drains: by "agent drain" and by the control file, to the end or not.
func (s *stage) consume(ctx context.Context) {
	for ; ctx.Err() == nil; s.pause(ctx, time.Duration(rand.IntN(300))*time.Millisecond) {
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
	c, out, errs = exec.Command(s.agent, "drain", "--timeout", "60s", "--project", p.path), &bytes.Buffer{}, &bytes.Buffer{}
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
	timer := time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, func() { c.Process.Kill() })
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

// ask renames a request into place.
func (s *stage) ask(p *project) (sp *spoolfiles.Spool, id string) {
	sp, err := spoolfiles.Create(p.path)
	if err != nil {
		s.Errorf("request: %v", err)
		return nil, ""
	}
	id = spoolfiles.NewID()
	tmp := filepath.Join(sp.Tmp.Path(), id)
	err = os.WriteFile(tmp, nil, 0o600)
	if err == nil {
		err = os.Rename(tmp, filepath.Join(sp.Control.Path(), id+spoolfiles.RequestSuffix))
	}
	if err != nil {
		s.Errorf("request: %v", err)
		sp.Close()
		return nil, ""
	}
	return sp, id
}

// desert asks and never claims the reply, which has to return.
func (s *stage) desert(p *project) {
	if sp, _ := s.ask(p); sp != nil {
		sp.Close()
		s.counts.deserted.Add(1)
	}
}

// request asks, and takes the reply; or withdraws if none comes.
func (s *stage) request(p *project) {
	sp, id := s.ask(p)
	if sp == nil {
		return
	}
	defer sp.Close()
	s.counts.requests.Add(1)
	in := func(suffix string) string { return filepath.Join(sp.Control.Path(), id+suffix) }
	withdrawn := false
	for tries := 0; ; tries++ {
		reply, err := os.ReadFile(in(spoolfiles.ReplySuffix))
		if err == nil {
			// Who deletes it has it. The agent may have taken it back just now.
			if err := os.Remove(in(spoolfiles.ReplySuffix)); err == nil {
				p.took("a consumer", &p.drained, reply)
			} else if errors.Is(err, fs.ErrNotExist) {
				s.counts.unclaimed.Add(1)
			} else {
				s.Errorf("acknowledging: %v", err)
			}
			return
		}
		if text, err := os.ReadFile(in(spoolfiles.ErrorSuffix)); err == nil {
			s.Errorf("a request was refused: %s", text)
			os.Remove(in(spoolfiles.ErrorSuffix))
			return
		}
		if tries == 100 {
			withdrawn = os.Remove(in(spoolfiles.RequestSuffix)) == nil
		}
		if withdrawn {
			s.counts.withdrawn.Add(1)
			return
		}
		if tries > 100 && !exists(in(spoolfiles.RequestSuffix)) && !exists(in(spoolfiles.ReplySuffix)) && !exists(in(spoolfiles.ErrorSuffix)) {
			s.counts.gaveUp.Add(1) // answered, and taken back before we saw it
			return
		}
		s.pause(context.Background(), 20*time.Millisecond)
	}
}

// The strangers lock the queue as any shell script would.
const (
	shellAppends = `flock "$1" sh -c 'printf "{\"recorded_at\":1,\"cwd\":\"/s\",\"payload\":\"<%s>\"}\n" "$2" >>"$1"' sh "$1" "$2"`
	shellDrains  = `flock "$1" sh -c 'cat "$1" && : >"$1"' sh "$1"`
)

// trespass shares the queues by flock(1).
func (s *stage) trespass(ctx context.Context) {
	for ; ctx.Err() == nil; s.pause(ctx, time.Duration(rand.IntN(200))*time.Millisecond) {
		s.with(func(p *project) {
			path := filepath.Join(p.path, spoolfiles.DirName, queue.FileName)
			if !exists(path) {
				return // a stranger would not make it
			}
			if rand.IntN(4) > 0 {
				s.runs(p, "", "sh", "-c", shellAppends, "sh", path, p.give(&p.appended))
				s.counts.appends.Add(1)
				return
			}
			out, err := exec.Command("sh", "-c", shellDrains, "sh", path).Output()
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
	for ; ctx.Err() == nil; s.pause(ctx, time.Duration(rand.IntN(400))*time.Millisecond) {
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
			s.reload(s.running)
		}
	}
}

// command runs one of the agent's verbs on a directory.
func (s *stage) command(verb, dir string) {
	if out, err := exec.Command(s.agent, verb, dir).CombinedOutput(); err != nil {
		s.Errorf("agent %s: %v: %s", verb, err, out)
	}
}

func (s *stage) deleteSpool(p *project) {
	spool := filepath.Join(p.path, spoolfiles.DirName)
	if rand.IntN(2) == 0 {
		trash := filepath.Join(s.dir, "trash-"+spoolfiles.NewID())
		if err := os.Rename(spool, trash); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("deleting: %v", err)
		}
		spool = trash
	}
	// An agent that is at work in it may add a file, as long as it has not
	// seen that it is deleted.
	s.until("the spool is deleted", func() bool { return os.RemoveAll(spool) == nil })
	s.counts.excused.Add(int64(p.deleted()))
	s.counts.deletions.Add(1)
}

// putAside moves a spool away for a while.
func (s *stage) putAside(ctx context.Context, p *project) {
	spool := filepath.Join(p.path, spoolfiles.DirName)
	aside := spool + "-aside"
	if err := os.Rename(spool, aside); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("putting aside: %v", err)
		}
		return
	}
	s.pause(ctx, time.Duration(rand.IntN(500))*time.Millisecond)
	// An agent that has just been started or told of the project has made a
	// new one, which nobody has used.
	s.until("the spool is back", func() bool {
		return os.RemoveAll(spool) == nil && os.Rename(aside, spool) == nil
	})
	s.counts.aside.Add(1)
}

// moveProject moves a whole project, and registers it where it is then.
func (s *stage) moveProject(p *project) {
	from := p.path
	to := filepath.Join(s.dir, "projects", p.name+" "+spoolfiles.NewID()[10:19])
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
	if all, err := agent.Registered(s.state); err == nil {
		for _, r := range all {
			if r.Path == from {
				s.Errorf("%s is registered still", from)
			}
		}
	}
	s.counts.moves.Add(1)
}
