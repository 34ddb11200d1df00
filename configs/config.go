package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"spoolagent/queue"
)

// Config is the configuration of the agent. config.toml says what each setting means.
type Config struct {
	Projects     []string `toml:"projects"` // absolute
	Patterns     []string `toml:"-"`        // those of the projects that are patterns of path/filepath.Match
	Cap          int      `toml:"cap"`      // signals; 0: no cap
	MaxDrop      Size     `toml:"max_drop"`
	MaxPayload   Size     `toml:"max_payload"`
	ReplyTTL     Duration `toml:"reply_ttl"`
	Fsync        bool     `toml:"fsync"`
	LogLevel     string   `toml:"log_level"`
	ScanInterval Duration `toml:"scan_interval"`
}

// Levels are the values of LogLevel.
var Levels = []string{"trace", "debug", "info", "warn", "error"}

// Default returns the configuration that holds where there is no file.
func Default() Config {
	o := queue.DefaultOptions()
	return Config{
		Cap:          o.Cap,
		MaxDrop:      Size(o.MaxDrop),
		MaxPayload:   Size(o.MaxPayload),
		ReplyTTL:     Duration(o.ReplyTTL),
		Fsync:        o.Fsync,
		LogLevel:     "info",
		ScanInterval: Duration(time.Minute),
	}
}

// Size is a number of bytes, in the file also as text such as "64KiB".
type Size int64

// UnmarshalText takes the text.
func (s *Size) UnmarshalText(text []byte) error {
	digits, unit := string(text), int64(1)
	if d, ok := strings.CutSuffix(digits, "KiB"); ok {
		digits, unit = d, 1<<10
	} else if d, ok := strings.CutSuffix(digits, "MiB"); ok {
		digits, unit = d, 1<<20
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return errors.New(`a size must be such as 4096, "64KiB" or "1MiB"`)
	}
	*s = Size(n * unit)
	return nil
}

// Duration is a time, in the file as text such as "90s".
type Duration time.Duration

// UnmarshalText takes the text.
func (d *Duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New(`a time must be such as "90s" or "10m"`)
	}
	*d = Duration(t)
	return nil
}

// maxFile is enough for a thousand projects. The decoder takes seconds for as
// many keys as fit into more.
const maxFile = 64 << 10

// Load reads the configuration file. If there is
// no such file, the error wraps fs.ErrNotExist: whether that is an error at
// all depends on who chose the path.
func Load(path string) (Config, error) {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("is not a regular file of at most %d KiB", maxFile>>10)}
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	return ParseConfig(data, path)
}

// ParseConfig reads a configuration from the text of a file. It starts from
// Default and is strict: a key that does not exist, a value of the wrong type
// and one out of bounds are errors; name stands for the file there. A leading ~
// in projects is the home directory.
func ParseConfig(data []byte, name string) (Config, error) {
	c := Default()
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&c); err != nil {
		return Config{}, explain(err, name)
	}
	for _, setting := range []struct {
		name               string
		value, least, most int64
		bounds             string
	}{
		{"cap", int64(c.Cap), 0, math.MaxInt32, "0 to 2147483647"},
		{"max_drop", int64(c.MaxDrop), 1 << 10, 1 << 30, "1KiB to 1024MiB"},
		{"max_payload", int64(c.MaxPayload), 256, 1 << 20, "256 to 1MiB"},
		{"reply_ttl", int64(c.ReplyTTL), int64(time.Second), int64(720 * time.Hour), "1s to 720h"},
		{"scan_interval", int64(c.ScanInterval), int64(time.Second), int64(24 * time.Hour), "1s to 24h"},
	} {
		if setting.value < setting.least || setting.value > setting.most {
			return Config{}, fmt.Errorf("%s: %s: must be from %s", name, setting.name, setting.bounds)
		}
	}
	if !slices.Contains(Levels, c.LogLevel) {
		return Config{}, fmt.Errorf("%s: log_level: must be one of %s", name, strings.Join(Levels, ", "))
	}
	all := c.Projects
	c.Projects = nil
	for _, p := range all {
		dir := p
		if rest, ok := strings.CutPrefix(p, "~"); ok && (rest == "" || rest[0] == '/') {
			home, err := os.UserHomeDir()
			if err != nil {
				return Config{}, fmt.Errorf("%s: projects: finding the home directory: %w", name, err)
			}
			dir = home + rest
		}
		_, err := filepath.Match(dir, "")
		switch {
		case !filepath.IsAbs(dir), strings.ContainsRune(dir, 0):
			return Config{}, fmt.Errorf("%s: projects: %q must be absolute or begin with ~/", name, p)
		case !strings.ContainsAny(p, "*?["):
			c.Projects = append(c.Projects, filepath.Clean(dir))
		case err != nil:
			return Config{}, fmt.Errorf("%s: projects: %q is no pattern: a [ has no ]", name, p)
		default:
			c.Patterns = append(c.Patterns, filepath.Clean(dir))
		}
	}
	return c, nil
}

// forms are what settings must be that need not come as a text.
var forms = map[string]string{
	"projects":  `a list of texts, such as projects = ["~/code/one"]`,
	"cap":       "a whole number, such as cap = 100",
	"fsync":     "true or false",
	"log_level": `a text, such as log_level = "info"`,
}

// explain names the line and the key of what the decoder refuses, as far as it
// tells them.
func explain(err error, name string) error {
	var missing *toml.StrictMissingError
	var at *toml.DecodeError
	switch {
	case errors.As(err, &missing):
		line, _ := missing.Errors[0].Position()
		return fmt.Errorf("%s:%d: unknown key %q; 'agent print config' shows all keys", name, line, strings.Join(missing.Errors[0].Key(), "."))
	case errors.As(err, &at):
		line, _ := at.Position()
		// What is not for Go programmers ends where the type is named.
		text, _, _ := strings.Cut(strings.TrimPrefix(at.Error(), "toml: "), " into ")
		key := strings.Join(at.Key(), ".")
		if form := forms[key]; form != "" && strings.HasPrefix(text, "cannot decode TOML") {
			text = "must be " + form
		}
		if key != "" {
			text = key + ": " + text
		}
		return fmt.Errorf("%s:%d: %s", name, line, text)
	}
	return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "toml: "))
}
