package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"spoolagent/queue"
)

// Config is the configuration of the agent. config.toml says what each setting means.
type Config struct {
	Projects     []string // absolute, or beginning with ~ as ParseConfig leaves it
	Patterns     []string // likewise; of path/filepath.Match, a component each
	Cap          int      // signals; 0: no cap
	MaxDrop      int64    // bytes
	MaxPayload   int      // bytes
	ReplyTTL     time.Duration
	Fsync        bool
	LogLevel     string
	ScanInterval time.Duration
}

// Default returns the configuration that holds where there is no file.
func Default() Config {
	o := queue.DefaultOptions()
	return Config{
		Cap:          o.Cap,
		MaxDrop:      o.MaxDrop,
		MaxPayload:   o.MaxPayload,
		ReplyTTL:     o.ReplyTTL,
		Fsync:        o.Fsync,
		LogLevel:     "info",
		ScanInterval: time.Minute,
	}
}

// maxFile is far more than a thousand projects need, and keeps a file made to
// be slow from being slow.
const maxFile = 256 << 10

// Load reads the configuration file and expands ~ in its projects. If there is
// no such file, the error wraps fs.ErrNotExist: whether that is an error at
// all depends on who chose the path.
func Load(path string) (Config, error) {
	data, err := readFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	c, err := ParseConfig(data, path)
	if err != nil {
		return Config{}, err
	}
	for _, list := range []struct {
		paths  []string
		inHome func(home string) string
	}{{c.Projects, filepath.Clean}, {c.Patterns, literal}} {
		for i, p := range list.paths {
			if list.paths[i], err = expandHome(p, list.inHome); err != nil {
				return Config{}, fmt.Errorf("%s: projects: %w", path, err)
			}
		}
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("is larger than %d KiB", maxFile>>10)}
	}
	return data, nil
}

// expandHome replaces a leading ~ by the home directory, spelt by spell.
func expandHome(path string, spell func(home string) string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok {
		return filepath.Clean(path), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the home directory: %w", err)
	}
	return filepath.Join(spell(home), rest), nil
}

// wild are the characters that make a path a pattern.
const wild = "*?["

func isPattern(path string) bool { return strings.ContainsAny(path, wild) }

// literal returns the pattern that only this path matches.
func literal(path string) string {
	if os.PathSeparator == '\\' {
		return path // there is no escaping there
	}
	var b strings.Builder
	for i := range len(path) {
		if strings.IndexByte(wild+`\`, path[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
