package spoolfiles

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// OffName is the file in .spool that switches recording off.
const OffName = "off"

// ErrOff says that a drop is not stored since recording is off for the project.
var ErrOff = errors.New("recording is off")

// Off reports whether recording is off: producers store nothing, but what waits
// can be drained.
func (s *Spool) Off() bool {
	_, err := s.Root.Lstat(OffName)
	return err == nil
}

// Start returns the directory from which Find searches for the project of this
// process: that of the tool whose hook this is, else the working directory. It
// is absolute. What Gemini CLI sets, also by the name of Claude's variable, is but
// the working directory.
func Start() (string, error) {
	dir := cmp.Or(os.Getenv("CLAUDE_PROJECT_DIR"), os.Getenv("CURSOR_PROJECT_DIR"))
	if dir == "" || os.Getenv("GEMINI_PROJECT_DIR") != "" {
		return os.Getwd()
	}
	return filepath.Abs(dir)
}

// OpenToDrop is Create for a producer. The error wraps ErrOff if recording is
// off; then nothing is made.
func OpenToDrop(project string) (*Spool, error) {
	s, err := OpenExisting(project)
	if errors.Is(err, fs.ErrNotExist) {
		return Create(project)
	}
	if err != nil {
		return nil, err
	}
	if err = ErrOff; !s.Off() {
		err = s.Complete()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dropping in %s: %w", project, err), s.Close())
	}
	return s, nil
}

// DropContent leaves one drop of this name, from NewDropName, with content that
// comes in pieces. If it ends with an error, or there is none, there is no drop.
func (s *Spool) DropContent(name string, content io.WriterTo) error {
	n, err := s.Tmp.writeNew(name, content, false)
	if err != nil {
		return err
	}
	if err = errors.New("there is no content to drop"); n > 0 {
		err = s.Tmp.Rename(name, s.Incoming, name)
	}
	if err != nil {
		s.Tmp.Remove(name)
	}
	return err
}

// isSettings reports whether this is the ~/.spool in which another program of
// the protocol keeps its settings. It holds no signals.
func (s *Spool) isSettings() bool {
	for _, name := range []string{"config.toml", "rules.toml"} {
		if _, err := s.Root.Lstat(name); err == nil {
			home, _ := os.UserHomeDir()
			return SameDir(s.Project, home)
		}
	}
	return false
}
