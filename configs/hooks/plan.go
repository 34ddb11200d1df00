package hooks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"spoolagent/internal/place"
)

// A Change is what is done to one file.
type Change struct {
	Path     string
	Old, New []byte // nil: no file
	Own      bool   // the file is ours alone
	Backup   string // where Old is kept; empty: nowhere

	file     file
	mode     fs.FileMode
	restores bool // New is the backup, which goes
}

// A Plan is what Install or Uninstall will do.
type Plan struct {
	File    string   // as in Status
	Changes []Change // none: nothing is to be done
	Notes   []string // what was left alone, and why

	setup  *Setup
	record string   // the file that notes the connection
	note   []byte   // what it will say; nil: it goes
	forget []string // such files of projects that are gone
	top    string   // the directory whose empty ones go
}

// plan is one without changes, and the files that it is about.
func (s *Setup) plan(ctx context.Context, t Tool, project string) (*Plan, []target, error) {
	name, targets, err := s.targets(ctx, t, project)
	if err != nil {
		return nil, nil, err
	}
	top := cmp.Or(project, s.home)
	if documents := filepath.Join(s.home, documentsDir); project == "" && strings.HasPrefix(name, documents) {
		top = documents
	}
	return &Plan{File: name, setup: s, top: top, record: s.recordPath(t.Name, project, name)}, targets, nil
}

// Install plans to connect a tool, for the user or in a project. The error says
// why that cannot be done; then nothing will be changed.
func (s *Setup) Install(ctx context.Context, t Tool, project string) (*Plan, error) {
	p, targets, err := s.plan(ctx, t, project)
	if err != nil {
		return nil, err
	}
	if p.note, err = json.Marshal(map[string]string{"tool": t.Name, "project": project}); err != nil {
		return nil, err
	}
	if t.Name == gitName {
		if err := p.prepareGit(ctx, project, targets); err != nil {
			return nil, err
		}
	}
	if err := p.scripts(true); err != nil {
		return nil, err
	}
	if _, inSystem := besideUs(); s.scripts[hookProgram] == "" && !inSystem {
		p.Notes = append(p.Notes, "its hooks run a shell script, since there is no spool-hook beside this program: put it there, and install again")
	}
	var left []error
	for _, target := range targets {
		c, err := target.connect()
		if errors.As(err, new(foreign)) {
			left = append(left, err)
			p.Notes = append(p.Notes, err.Error())
			continue
		}
		if err != nil {
			return nil, err
		}
		p.add(c)
		if edit, ok := target.edit.(settings); ok {
			if _, then, _ := edit.look(c.New); then != "" {
				p.Notes = append(p.Notes, "at the ends of a turn its hooks then run:  "+then)
			}
		}
	}
	if len(left) == len(targets) {
		return nil, left[0]
	}
	if doubled := s.doubled(t, project); doubled != "" {
		p.Notes = append(p.Notes, doubled)
	}
	if project != "" && t.Name != gitName && s.Check(ctx, t, "").connected() {
		p.Notes = append(p.Notes, "it is connected for all your projects already; some tools then run the hook twice")
	}
	return p, nil
}

func (p *Plan) add(c Change) {
	if (c.Old == nil) != (c.New == nil) || !bytes.Equal(c.Old, c.New) {
		p.Changes = append(p.Changes, c)
	}
}

// connect is the change that puts our part into a file.
func (t target) connect() (Change, error) {
	f, state, err := t.look()
	if err != nil {
		return Change{}, err
	}
	_, own := t.edit.(whole)
	c := Change{Path: t.path, Old: f.data, Own: own, file: f, mode: t.mode}
	if c.New, err = t.edit.connect(f.data); err != nil {
		return Change{}, t.wrap(err)
	}
	if bytes.Equal(c.Old, c.New) {
		return c, nil
	}
	if state == None && f.data != nil {
		c.Backup = f.backup()
	}
	return c, f.writable()
}

// look reads the file, and tells the state of our part in it.
func (t target) look() (f file, state State, err error) {
	if f, err = open(t.path, t.project); err != nil {
		return f, None, err
	}
	if _, hook := t.edit.(block); hook && f.info != nil && !byHand(f.data) {
		if err := editable(f); err != nil {
			return f, None, t.wrap(err)
		}
	}
	state, err = t.edit.state(f.data)
	return f, state, t.wrap(err)
}

// wrap names the file. What is foreign says what can be done about it.
func (t target) wrap(err error) error {
	var left foreign
	switch {
	case err == nil:
		return nil
	case errors.As(err, &left):
		run := fmt.Sprintf(`have it run:  sh "$HOME/%s" %s "$@"`, gitScriptPath, filepath.Base(t.path))
		if s, ok := t.edit.(script); ok {
			run = fmt.Sprintf(`have it run, with its own input:  sh "$HOME/%s/%s" %s`, place.Share, hookScript, s.source)
		}
		return foreign(fmt.Sprintf("%s %s, and was left alone; %s", t.path, left, run))
	}
	return fmt.Errorf("%s %w", t.path, err)
}

// Uninstall plans to disconnect a tool.
func (s *Setup) Uninstall(ctx context.Context, t Tool, project string) (*Plan, error) {
	p, targets, err := s.plan(ctx, t, project)
	if err != nil {
		return nil, err
	}
	var lfs []string
	for _, target := range targets {
		c, err := target.disconnect()
		if errors.As(err, new(foreign)) {
			continue // then there is nothing of ours in it
		}
		if err != nil {
			return nil, err
		}
		if t.Name == gitName && byHand(c.New) {
			p.Notes = append(p.Notes, target.path+" runs "+gitScript+": that is for you to take out")
		}
		if t.scripts != nil && c.New != nil {
			p.Notes = append(p.Notes, target.path+" runs "+hookScript+": that is for you to take out")
		}
		if p.add(c); lfsHook().Match(c.New) && !bytes.Equal(c.Old, c.New) {
			lfs = append(lfs, filepath.Base(target.path))
		}
	}
	if len(lfs) > 0 {
		p.Notes = append(p.Notes, "the hooks of Git LFS stay, since it needs them: "+strings.Join(lfs, ", "))
	}
	// The scripts go with the last connection.
	all := s.connections(ctx, "")
	others := slices.ContainsFunc(all, func(c Connection) bool {
		return c.live() && !(c.Tool.Name == t.Name && (project != "") == (c.Project != "") && c.File == p.File)
	})
	if !others {
		if err := p.scripts(false); err != nil {
			return nil, err
		}
	}
	for _, c := range all {
		if c.gone {
			p.forget = append(p.forget, c.record)
		}
	}
	return p, nil
}

// disconnect is the change that takes our part out of a file.
func (t target) disconnect() (Change, error) {
	f, err := open(t.path, t.project)
	if err != nil {
		return Change{}, err
	}
	c := Change{Path: t.path, Old: f.data, New: f.data, file: f, mode: t.mode}
	state, err := t.edit.state(f.data)
	if err != nil || state == None {
		return c, t.wrap(err)
	}
	edit := t.edit
	if s, ok := edit.(settings); ok {
		_, s.then, _ = s.look(f.data)
		edit = s
	}
	// If the file is what we made of its backup, or of nothing, then nobody else has
	// touched it.
	made := func(of []byte) bool {
		data, err := edit.connect(of)
		return err == nil && bytes.Equal(data, f.data)
	}
	before, _, err := read(f.backup())
	switch {
	case err == nil && made(before):
		c.New, c.restores = before, true
	case made(nil):
		c.New = nil
	default:
		if c.New, err = edit.disconnect(f.data); err != nil {
			return Change{}, t.wrap(err)
		}
	}
	return c, f.writable()
}

// scripts plans to have what the hooks run in place, or not.
func (p *Plan) scripts(there bool) error {
	for _, name := range []string{hookProgram, hookScript, gitScript} {
		text, ok := p.setup.scripts[name]
		if there && !ok {
			continue
		}
		f, err := open(p.setup.share(name), "")
		if err != nil {
			return err
		}
		c := Change{Path: f.path, Old: f.data, Own: true, file: f, mode: 0o600}
		if there {
			c.New = []byte(text)
		}
		if name == hookProgram {
			c.mode = 0o700
		}
		p.add(c)
	}
	return nil
}

// Apply does what was planned. After an error, what comes before it was done;
// to apply a new plan does the rest.
func (p *Plan) Apply() error {
	if err := p.setup.owned(); err != nil {
		return err
	}
	if p.note != nil { // before it is made
		if err := os.MkdirAll(filepath.Dir(p.record), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(p.record, p.note, 0o600); err != nil {
			return err
		}
	}
	for _, c := range p.Changes {
		if err := c.apply(); err != nil {
			return err
		}
	}
	if p.note != nil {
		return nil
	}
	for _, c := range p.Changes {
		if c.New == nil {
			removeEmpty(filepath.Dir(c.file.real), p.top)
		}
	}
	for _, path := range append(p.forget, p.record) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	removeEmpty(filepath.Dir(p.setup.share(hookProgram)), p.setup.share(""))
	removeEmpty(filepath.Dir(p.record), p.setup.home)
	return nil
}

func (c Change) apply() error {
	if c.New == nil {
		if err := c.file.changed(); err != nil {
			return err
		}
		return os.Remove(c.file.real)
	}
	// A directory may be entered by whoever may read the file.
	if err := os.MkdirAll(filepath.Dir(c.file.real), 0o700|c.mode&0o044|c.mode&0o044>>2); err != nil {
		return err
	}
	if c.Backup != "" {
		if err := c.file.keep(); err != nil {
			return err
		}
	}
	// Should this fail, the backup stays: somebody else may rely on it by now.
	if err := c.file.replace(c.New, c.mode); err != nil {
		return err
	}
	if c.restores {
		return os.Remove(c.file.backup())
	}
	return nil
}
