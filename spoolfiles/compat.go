package spoolfiles

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// What follows keeps the callers of the former interface compiling.

// Deprecated: use OpenExisting.
func Look(project string) (*Spool, error) { return OpenExisting(project) }

// Deprecated: use the fields of Spool.
func (s *Spool) Dir(name string) *Dir {
	for _, sub := range s.subdirs() {
		if sub.name == name {
			return *sub.dir
		}
	}
	return nil
}

// Deprecated: use List.
func (d *Dir) Each(fn func(name []byte, ino uint64) error) error {
	names, err := d.List()
	for _, name := range names {
		if err := fn([]byte(name), 0); err != nil {
			return err
		}
	}
	return err
}

// Deprecated: use Path.
func (d *Dir) LockPath(name string) string { return d.join(name) }

// Deprecated: name the file where the lock is taken.
func (d *Dir) LockError(name string, err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return d.fail("lock", name, err)
}

// Deprecated: names that were listed are names.
func ValidName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00") &&
		(os.PathSeparator == '/' || !strings.ContainsAny(name, `\:`))
}

// Deprecated: use ListDrops.
func (s *Spool) Scan(newest int) ([]Entry, *Rest, error) {
	drops, err := s.ListDrops()
	rest := &Rest{}
	if newest > 0 && len(drops) > newest {
		rest.names = map[string]bool{}
		for _, e := range drops[:len(drops)-newest] {
			rest.names[e.Name] = true
		}
		drops = drops[len(drops)-newest:]
	}
	return drops, rest, err
}

// Deprecated: use ListDrops.
type Rest struct{ names map[string]bool }

func (r *Rest) Len() int { return len(r.names) }

func (r *Rest) Has(name []byte, _ uint64) bool { return r.names[string(name)] }
