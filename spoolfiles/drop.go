package spoolfiles

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// uniqueName is the stem of a new file's name: time, process, chance. Names
// made one after the other by one process sort in that order.
func uniqueName() string {
	b := make([]byte, 0, 64)
	b = strconv.AppendInt(b, time.Now().UnixNano(), 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(os.Getpid()), 10)
	b = append(b, '-')
	b = strconv.AppendUint(b, rand.Uint64(), 36)
	return string(b)
}

// Drop leaves one drop with this content, a signal or a raw hook event, in a
// project's spool, which is made if there is none. It takes no lock and waits
// for nobody. The content is not checked. Safe for concurrent use, also with
// other processes.
func Drop(project string, data []byte) error {
	d, err := openDropDirs(project)
	if err != nil {
		return err
	}
	defer d.close()
	_, err = dropInto(d.tmp, d.incoming, data)
	return err
}

// Drop leaves one drop with this content, a signal or a raw hook event, and
// returns the name it got in incoming. The content is not looked at.
func (s *Spool) Drop(data []byte) (name string, err error) {
	return dropInto(s.Tmp, s.Incoming, data)
}

func dropInto(tmp, incoming *Dir, data []byte) (string, error) {
	name := uniqueName() + ".json"
	if err := tmp.writeNew(name, data, false); err != nil {
		return "", fmt.Errorf("writing drop: %w", err)
	}
	if err := tmp.Rename(name, incoming, name); err != nil {
		tmp.Remove(name)
		return "", fmt.Errorf("handing over drop: %w", err)
	}
	return name, nil
}

// dropDirs are the two directories that a drop needs: opening only these keeps
// Drop near the cost of its four system calls.
type dropDirs struct{ tmp, incoming *Dir }

func (d dropDirs) close() {
	d.tmp.Close()
	d.incoming.Close()
}

func openDropDirs(project string) (dropDirs, error) {
	d, err := tryDropDirs(project)
	if err == nil {
		return d, nil
	}
	// Something is missing, or wrong: Create makes it, or names it well.
	s, err := Create(project)
	if err != nil {
		return dropDirs{}, err
	}
	s.Close()
	return tryDropDirs(project)
}

func tryDropDirs(project string) (d dropDirs, err error) {
	p, err := OpenDir(project)
	if err != nil {
		return d, err
	}
	defer p.Close()
	root, err := p.OpenDir(DirName)
	if err != nil {
		return d, err
	}
	defer root.Close()
	if d.tmp, err = root.OpenDir("tmp"); err != nil {
		return d, err
	}
	if d.incoming, err = root.OpenDir("incoming"); err != nil {
		d.tmp.Close()
		return d, err
	}
	return d, nil
}
