package configs

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A setting is one key of the file and what stores its decoded value.
type setting struct {
	name string
	set  func(*Config, any) error
}

var settings = []setting{
	{"projects", func(c *Config, v any) (err error) {
		c.Projects, c.Patterns, err = directories(v)
		return err
	}},
	{"cap", func(c *Config, v any) error {
		n, ok := v.(int64)
		if !ok || n < 0 || n > math.MaxInt32 {
			return fmt.Errorf("must be a whole number from 0 to %d", math.MaxInt32)
		}
		c.Cap = int(n)
		return nil
	}},
	{"max_drop", func(c *Config, v any) (err error) {
		c.MaxDrop, err = size(v, 1<<10, 1<<30, "1KiB to 1024MiB")
		return err
	}},
	{"max_payload", func(c *Config, v any) error {
		n, err := size(v, 256, 1<<20, "256 to 1MiB")
		c.MaxPayload = int(n)
		return err
	}},
	{"reply_ttl", func(c *Config, v any) (err error) {
		c.ReplyTTL, err = duration(v, time.Second, 720*time.Hour, "1s to 720h")
		return err
	}},
	{"fsync", func(c *Config, v any) error {
		b, ok := v.(bool)
		if !ok {
			return errors.New("must be true or false")
		}
		c.Fsync = b
		return nil
	}},
	{"log_level", func(c *Config, v any) error {
		s, _ := v.(string)
		if !slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, s) {
			return errors.New(`must be "trace", "debug", "info", "warn" or "error"`)
		}
		c.LogLevel = s
		return nil
	}},
	{"scan_interval", func(c *Config, v any) (err error) {
		c.ScanInterval, err = duration(v, time.Second, 24*time.Hour, "1s to 24h")
		return err
	}},
}

func directories(v any) (paths, patterns []string, err error) {
	list, ok := v.([]any)
	if !ok {
		return nil, nil, errors.New("must be a list of directories")
	}
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, nil, errors.New("must be a list of directories")
		}
		if !filepath.IsAbs(s) && s != "~" && !strings.HasPrefix(s, "~/") {
			return nil, nil, fmt.Errorf("%q must be absolute or begin with ~/", s)
		}
		if strings.ContainsRune(s, 0) {
			return nil, nil, fmt.Errorf("%q is no path", s)
		}
		if !isPattern(s) {
			paths = append(paths, s)
			continue
		}
		if _, err := filepath.Match(s, ""); err != nil {
			return nil, nil, fmt.Errorf("%q is no pattern: a [ has no ]", s)
		}
		patterns = append(patterns, s)
	}
	return paths, patterns, nil
}

// size takes a number of bytes, as an integer or as text with a unit.
func size(v any, least, most int64, bounds string) (int64, error) {
	n, unit := int64(0), int64(1)
	switch v := v.(type) {
	case int64:
		n = v
	case string:
		digits := v
		if s, ok := strings.CutSuffix(v, "KiB"); ok {
			digits, unit = s, 1<<10
		} else if s, ok := strings.CutSuffix(v, "MiB"); ok {
			digits, unit = s, 1<<20
		}
		u, err := strconv.ParseUint(digits, 10, 63)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, errors.New(`must be a size such as 4096, "64KiB" or "1MiB"`)
		}
		n = int64(u)
	default:
		return 0, errors.New(`must be a size such as 4096, "64KiB" or "1MiB"`)
	}
	if n > most/unit || n*unit < least {
		return 0, fmt.Errorf("must be from %s", bounds)
	}
	return n * unit, nil
}

func duration(v any, least, most time.Duration, bounds string) (time.Duration, error) {
	s, _ := v.(string)
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New(`must be a time such as "90s" or "10m"`)
	}
	if d < least || d > most {
		return 0, fmt.Errorf("must be from %s", bounds)
	}
	return d, nil
}
