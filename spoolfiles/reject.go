package spoolfiles

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReasonSuffix is what the file beside a reject is called by.
const ReasonSuffix = ".reason"

// MaxRejects is how many rejects are kept, the newest.
const MaxRejects = 100

// RejectName returns a name that is free in rejected, name itself if it can.
func (s *Spool) RejectName(name string) string {
	// A name has at most 255 bytes nearly everywhere, and ".reason" and a
	// number must fit.
	if len(name) > 230 {
		h := fnv.New64a()
		h.Write([]byte(name))
		name = name[:200] + "-" + hex.EncodeToString(h.Sum(nil))
	}
	free := name
	for n := 1; ; n++ {
		if _, err := s.Rejected.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			if _, err := s.Rejected.Lstat(free + ReasonSuffix); errors.Is(err, fs.ErrNotExist) {
				return free
			}
		}
		free = name + "." + strconv.Itoa(n)
	}
}

// CountRejects counts what is in rejected.
func (s *Spool) CountRejects() (n int, err error) {
	err = s.Rejected.Each(func(name []byte, _ uint64) error {
		if !strings.HasSuffix(string(name), ReasonSuffix) {
			n++
		}
		return nil
	})
	return n, err
}

// PruneRejects removes all but the MaxRejects newest rejects. The reason is
// written when a file is rejected, so its time says which are the newest.
func (s *Spool) PruneRejects() error {
	var reasons, rejects []Entry
	err := s.Rejected.Each(func(raw []byte, _ uint64) error {
		name := string(raw)
		info, err := s.Rejected.Lstat(name)
		if err != nil {
			return nil
		}
		if strings.HasSuffix(name, ReasonSuffix) {
			reasons = append(reasons, Entry{name, info})
		} else {
			rejects = append(rejects, Entry{name, info})
		}
		return nil
	})
	if err != nil || len(rejects) <= MaxRejects && len(reasons) <= MaxRejects {
		return err
	}
	when := make(map[string]int64, len(reasons))
	for _, r := range reasons {
		when[strings.TrimSuffix(r.Name, ReasonSuffix)] = r.MTime
	}
	for i := range rejects {
		if t, ok := when[rejects[i].Name]; ok {
			rejects[i].MTime = t
		}
		delete(when, rejects[i].Name)
	}
	slices.SortFunc(rejects, older)
	for _, r := range rejects[:max(0, len(rejects)-MaxRejects)] {
		if err := s.removeReject(r); err != nil {
			return err
		}
	}
	for _, r := range reasons {
		if _, alone := when[strings.TrimSuffix(r.Name, ReasonSuffix)]; !alone {
			continue
		}
		// A reason without its reject explains nothing.
		if err := s.removeOne(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) removeReject(r Entry) error {
	if err := s.removeOne(r); err != nil {
		return err
	}
	reason := r.Name + ReasonSuffix
	info, err := s.Rejected.Lstat(reason)
	if err != nil {
		return gone(err)
	}
	return s.removeOne(Entry{reason, info})
}

func (s *Spool) removeOne(e Entry) error {
	if e.Mode.IsDir() {
		return s.removeTree(e.Name)
	}
	return gone(s.Rejected.Remove(e.Name))
}

// removeTree removes a directory that somebody had put into incoming. os.Root
// keeps to what is below, and that rejected is still ours is made sure first.
func (s *Spool) removeTree(name string) error {
	path := s.Rejected.path
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	if s.Stale() {
		return &fs.PathError{Op: "remove", Path: filepath.Join(path, name), Err: errors.New("the spool has been replaced")}
	}
	return root.RemoveAll(name)
}

// gone takes it as done when what was to be removed is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// TmpTTL is the age at which a file in tmp is taken for abandoned.
const TmpTTL = 24 * time.Hour

// CleanTmp removes the files in tmp that are older than TmpTTL.
func (s *Spool) CleanTmp(now time.Time) error {
	limit := now.Add(-TmpTTL).UnixNano()
	var errs []error
	err := s.Tmp.Each(func(raw []byte, _ uint64) error {
		name := string(raw)
		info, err := s.Tmp.Lstat(name)
		if err == nil && info.MTime < limit && !info.Mode.IsDir() {
			errs = append(errs, gone(s.Tmp.Remove(name)))
		}
		return nil
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("cleaning tmp: %w", err)
	}
	return nil
}
