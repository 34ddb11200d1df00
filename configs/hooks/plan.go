package hooks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Change is what is done to one file.
type Change struct {
	Path     string
	Old, New []byte // nil: no file
	Own      bool   // the file is ours alone
	Backup   string // where Old is kept; empty: nowhere
	Restores string // the backup that has New, and goes; empty: none

	file file
	mode fs.FileMode
}

// A Plan is what Install or Uninstall will do.
type Plan struct {
	File    string   // as in Status
	Changes []Change // none: nothing is to be done
	Notes   []string // what was left alone, and why

	setup     *Setup
	tool      Tool
	project   string
	connected bool         // afterwards
	noted     []Connection // if not
}

// Install plans to connect a tool, for the user or in a project. The error says
// why that cannot be done; then nothing will be changed.
func (s *Setup) Install(ctx context.Context, t Tool, project string) (*Plan, error) {
	p := &Plan{setup: s, tool: t, project: project, connected: true}
	targets, err := s.targets(ctx, t, project)
	if err != nil {
		return nil, err
	}
	p.File = t.fileOf(targets)
	if t.Name == gitName {
		if err := p.prepareGit(ctx, targets); err != nil {
			return nil, err
		}
	}
	for _, name := range t.scripts {
		text, ok := s.scripts[name]
		if _, inSystem := besideUs(); !ok && !inSystem {
			p.Notes = append(p.Notes, "its hooks run a shell script, since there is no spool-hook beside this program: put it there, and install again")
		}
		if !ok {
			continue
		}
		if err := p.script(name, []byte(text)); err != nil {
			return nil, err
		}
	}
	left := 0
	for _, target := range targets {
		c, err := s.install(t, target)
		if errors.As(err, new(foreign)) {
			p.Notes = append(p.Notes, fmt.Sprintf("%s %v: it was left alone; %s", target.path, err, runByHand))
			left++
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
	if left == len(targets) {
		return nil, errors.New(p.Notes[len(p.Notes)-left])
	}
	if doubled := s.doubled(t, project); doubled != "" {
		p.Notes = append(p.Notes, doubled)
	}
	if project != "" && t.Name != gitName && s.Check(ctx, t, "").live() {
		p.Notes = append(p.Notes, "is connected for all your projects already; some tools then run the hook twice")
	}
	return p, nil
}

const runByHand = `have it run:  sh "$HOME/` + gitScriptPath + `" HOOK ARGUMENTS...`

func (p *Plan) add(c Change) {
	if c.Old == nil && c.New == nil || c.Old != nil && c.New != nil && bytes.Equal(c.Old, c.New) {
		return
	}
	p.Changes = append(p.Changes, c)
}

func (s *Setup) install(t Tool, target target) (Change, error) {
	f, err := open(target.path, target.project)
	if err != nil {
		return Change{}, err
	}
	if t.Name == gitName && f.info != nil && !byHand(f.data) {
		if err := editable(f); err != nil {
			return Change{}, err
		}
	}
	state, err := target.edit.state(f.data)
	if err != nil {
		return Change{}, wrap(target.path, err)
	}
	_, own := target.edit.(whole)
	c := Change{Path: target.path, Old: f.data, Own: own, file: f, mode: target.mode}
	if c.New, err = target.edit.connect(f.data); err != nil {
		return Change{}, wrap(target.path, err)
	}
	if bytes.Equal(c.Old, c.New) {
		return c, nil
	}
	if err := f.writable(); err != nil {
		return Change{}, err
	}
	if state == None && f.data != nil {
		if c.Backup, err = f.backupName(); err != nil {
			return Change{}, err
		}
	}
	return c, nil
}

// wrap names the file; what is foreign is told otherwise.
func wrap(path string, err error) error {
	if err == nil || errors.As(err, new(foreign)) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// backupName is a name that is free; empty if the newest backup is already
// what the file is.
func (f file) backupName() (string, error) {
	old, err := f.backups()
	if err != nil {
		return "", err
	}
	if len(old) == 0 {
		return f.real + backupSuffix, nil
	}
	if bytes.Equal(old[0].data, f.data) {
		return "", nil
	}
	var number int // of the newest; the first has none
	fmt.Sscanf(strings.TrimPrefix(old[0].path, f.real+backupSuffix), "-%d", &number)
	return fmt.Sprintf("%s%s-%d", f.real, backupSuffix, max(2, number+1)), nil
}

// Uninstall plans to disconnect a tool.
func (s *Setup) Uninstall(ctx context.Context, t Tool, project string) (*Plan, error) {
	p := &Plan{setup: s, tool: t, project: project}
	targets, err := s.targets(ctx, t, project)
	if err != nil {
		return nil, err
	}
	p.File = t.fileOf(targets)
	for _, target := range targets {
		c, err := s.uninstall(t, target)
		if errors.As(err, new(foreign)) {
			continue // then there is nothing of ours in it
		}
		if err != nil {
			return nil, err
		}
		if t.Name == gitName && byHand(c.New) {
			p.Notes = append(p.Notes, target.path+" has "+gitScript+" run: that is for you to take out")
		}
		p.add(c)
	}
	p.noted = s.noted(ctx)
	// The scripts go with the last that needs them.
	for _, name := range t.scripts {
		if !p.needed(ctx, name) {
			if err := p.script(name, nil); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (s *Setup) uninstall(t Tool, target target) (Change, error) {
	f, err := open(target.path, target.project)
	if err != nil {
		return Change{}, err
	}
	c := Change{Path: target.path, Old: f.data, New: f.data, file: f, mode: target.mode}
	state, err := target.edit.state(f.data)
	if err != nil || state == None {
		return c, wrap(target.path, err)
	}
	if err := f.writable(); err != nil {
		return Change{}, err
	}
	backups, err := f.backups()
	if err != nil {
		return Change{}, err
	}
	if edit, ok := target.edit.(settings); ok {
		_, edit.then, _ = edit.look(f.data)
		target.edit = edit
	}
	// If the file is what we made of a backup, then nobody else has touched it.
	var before []byte
	for i, b := range backups {
		if i == 0 {
			before = b.data
		}
		if made, err := target.edit.connect(b.data); err == nil && bytes.Equal(made, f.data) {
			c.New, c.Restores = b.data, b.real
			return c, nil
		}
	}
	if made, err := target.edit.connect(nil); err == nil && bytes.Equal(made, f.data) {
		c.New = nil
		return c, nil
	}
	c.New, err = target.edit.disconnect(f.data, before)
	return c, wrap(target.path, err)
}

// script plans to have a script be this text, or not be there.
func (p *Plan) script(name string, text []byte) error {
	f, err := open(p.setup.share(name), "")
	if err == nil && !bytes.Equal(f.data, text) {
		err = f.writable()
	}
	mode := fs.FileMode(0o600)
	if name == hookProgram {
		mode = 0o700
	}
	p.add(Change{Path: f.path, Old: f.data, New: text, Own: true, file: f, mode: mode})
	return err
}

// Apply does what was planned. After an error, what comes before it was done;
// to apply a new plan does the rest.
func (p *Plan) Apply() error {
	if err := p.setup.owned(); err != nil {
		return err
	}
	path := p.setup.recordPath(p.tool.Name, p.project, p.File)
	if p.connected {
		if err := p.setup.record(path, connection{p.tool.Name, p.project}); err != nil {
			return err
		}
	}
	for _, c := range p.Changes {
		if err := c.apply(); err != nil {
			return err
		}
	}
	if !p.connected {
		for _, c := range p.Changes {
			if c.New == nil {
				removeEmpty(filepath.Dir(c.file.real), cmp.Or(p.project, p.setup.home))
			}
		}
		return p.setup.forget(path, p.noted)
	}
	return nil
}

func (c Change) apply() error {
	if c.New == nil {
		return c.file.remove()
	}
	// A directory may be entered by whoever may read the file.
	if err := os.MkdirAll(filepath.Dir(c.file.real), 0o700|c.mode&0o044|c.mode&0o044>>2); err != nil {
		return err
	}
	if c.Backup != "" {
		if err := c.file.keep(c.Backup); err != nil {
			return fmt.Errorf("keeping a backup: %w", err)
		}
	}
	// Should this fail, the backup stays: somebody else may rely on it by now.
	if err := c.file.replace(c.New, c.mode); err != nil {
		return err
	}
	if c.Restores != "" {
		return os.Remove(c.Restores)
	}
	return nil
}

// needed reports whether any connection but this one needs a script.
func (p *Plan) needed(ctx context.Context, script string) bool {
	for _, c := range p.noted {
		same := c.Tool.Name == p.tool.Name && (p.project != "") == (c.Project != "") && c.File == p.File
		if slices.Contains(c.Tool.scripts, script) && !same && c.live() {
			return true
		}
	}
	// Somebody may have put a fragment in its place by hand.
	return slices.ContainsFunc(Tools(), func(t Tool) bool {
		return slices.Contains(t.scripts, script) && !(t.Name == p.tool.Name && p.project == "") && p.setup.Check(ctx, t, "").live()
	})
}

// Connects reports whether the tool is connected once the plan was applied.
func (p *Plan) Connects() bool { return p.connected }
