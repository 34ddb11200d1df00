package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"spoolagent/internal/patience"
	"spoolagent/internal/place"
)

// A Setup is what one user has connected. Its methods may be called by any
// number of goroutines; but two that change the same file get in each other's
// way, and one of them says so.
type Setup struct {
	home    string
	scripts map[string]string // what the hooks run: contents by name below place.Share
}

// New is the setup of the user whose process this is. Hook is the text of
// hook.sh, which package configs has.
func New(hook string) (*Setup, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("finding the settings of tools: %w", err)
	}
	s := &Setup{home, map[string]string{hookScript: hook, gitScript: gitHook}}
	if path, inSystem := besideUs(); !inSystem {
		if program, _, err := read(path); err == nil {
			s.scripts[hookProgram] = string(program)
		}
	}
	return s, nil
}

// Named is the tool of that name; false if there is none.
func Named(name string) (Tool, bool) {
	all := Tools()
	i := slices.IndexFunc(all, func(t Tool) bool { return t.Name == name })
	if i < 0 {
		return Tool{}, false
	}
	return all[i], true
}

// GitHook is git.sh, the shell script that git's hooks run. It needs hook.sh
// beside it.
func GitHook() string { return gitHook }

// Here reports whether a program of the tool is in PATH. A directory of the tool's
// would prove nothing: Install makes it.
func (t Tool) Here() bool {
	return slices.ContainsFunc(t.programs, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	})
}

// Status is how a tool is connected, for the user or in one project.
type Status struct {
	File    string // its settings; for git and Cline, the directory of the hooks; empty if there can be none
	State   State
	Err     error  // why that cannot be told
	Off     string // what keeps the hooks from running, though they are connected; empty if nothing does
	Doubled string // which other hooks record the same events; empty if none do
	gone    bool   // the project is
}

// answerTime is how long a project's files may take to answer.
const answerTime = 3 * time.Second

// Check looks at a tool's settings: the user's, or those of a project. It gives
// up, and leaves what waits for them behind, if a project does not answer.
func (s *Setup) Check(ctx context.Context, t Tool, project string) Status {
	if project == "" {
		return s.check(ctx, t, project)
	}
	st, ok := patience.Within(ctx, answerTime, func(ctx context.Context) Status {
		st := s.check(ctx, t, project)
		_, err := os.Stat(project)
		st.gone = errors.Is(err, fs.ErrNotExist)
		return st
	})
	if !ok {
		return Status{File: project, State: None, Err: fmt.Errorf("%s does not answer; is its file system dead?", project)}
	}
	return st
}

func (s *Setup) check(ctx context.Context, t Tool, project string) Status {
	dir, targets, err := s.targets(ctx, t, project)
	if err != nil {
		return Status{State: None, Err: err}
	}
	st := Status{File: dir, State: None}
	count := map[State]int{}
	var left error // a hook that is not for us to change
	for _, target := range targets {
		_, state, err := target.look()
		switch {
		case errors.As(err, new(foreign)):
			left = cmp.Or(left, err)
			continue
		case errors.Is(err, syscall.ENOTDIR): // .clinerules may be a file
			continue
		case err != nil:
			st.Err = err
			return st
		}
		count[state]++
	}
	switch {
	case count[Outdated] > 0 || count[Connected] > 0 && (count[None] > 0 || !s.inPlace()):
		st.State = Outdated
	case count[Connected] > 0:
		st.State = Connected
	default:
		if _, err := os.Lstat(s.recordPath(t.Name, project, st.File)); err == nil {
			st.State = Gone
		}
		return st
	}
	if st.Off = s.off(t, project, st.File); left != nil {
		st.Off = left.Error()
	}
	st.Doubled = s.doubled(t, project)
	return st
}

// connected reports whether at least some of the hooks are in place.
func (st Status) connected() bool { return st.State != None && st.State != Gone }

// inPlace reports whether what the hooks run is there, as this version has it.
func (s *Setup) inPlace() bool {
	for name, text := range s.scripts {
		if data, _, err := read(s.share(name)); err != nil || string(data) != text {
			return false
		}
	}
	return true
}

// owned refuses the home directory of somebody else, for instance of the user who
// has called sudo: what we put there would be root's.
func (s *Setup) owned() error {
	if info, err := os.Stat(s.home); err == nil && homeOfOthers(info) {
		return fmt.Errorf("%s, the home directory, is not root's; do this as its owner", s.home)
	}
	return nil
}

func (s *Setup) share(name string) string {
	return filepath.Join(s.home, filepath.FromSlash(place.Share), name)
}

// A target is a file to edit.
type target struct {
	path    string
	project string // it must not lead out of this directory; empty: it may lead anywhere
	mode    fs.FileMode
	edit    editor
}

// targets are the files of a tool that are edited, and their name: that of the file,
// or of the directory of its hooks.
func (s *Setup) targets(ctx context.Context, t Tool, project string) (name string, targets []target, err error) {
	switch {
	case t.OfProject() && project == "":
		return "", nil, fmt.Errorf("%s cannot be connected for all projects at once; connect them one by one, with --project DIR", t.Title)
	case t.Name == gitName:
		if name, err = hooksDir(ctx, project); err != nil {
			return "", nil, err
		}
		for _, hook := range gitHooks {
			targets = append(targets, target{gitHookPath(name, hook), "", 0o755, t.edit})
		}
		return name, targets, nil
	case project != "" && t.project == "":
		return "", nil, fmt.Errorf("%s has no settings of a project; connect it for all of them, without --project", t.Title)
	}
	dir, mode := filepath.Join(project, t.project), fs.FileMode(0o644)
	if project == "" {
		dir, mode = t.home(s.home), 0o600
	}
	name = filepath.Join(dir, t.file)
	for _, event := range t.scripts { // whoever may read it may run it
		targets = append(targets, target{filepath.Join(name, event), project, mode | mode>>2&0o111, t.edit})
	}
	if t.scripts == nil {
		targets = []target{{name, project, mode, t.edit}}
	}
	return name, targets, nil
}
