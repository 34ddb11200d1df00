package spoolfiles

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReasonSuffix is what the file beside a reject is called by.
const ReasonSuffix = ".reason"

// MaxRejects is how many rejects are kept, the newest.
const MaxRejects = 100

// RejectName returns a name that is free in rejected: name itself if it is. The
// ending of a drop's name stays.
func (s *Spool) RejectName(name string) string {
	stem, isJSON := strings.CutSuffix(name, ".json")
	ending := ""
	if isJSON {
		ending = ".json"
	}
	if len(name) > 230 {
		// A name has at most 255 bytes nearly everywhere, and the number and
		// ".reason" must fit.
		h := fnv.New64a()
		h.Write([]byte(name))
		stem = fmt.Sprintf("%s-%x", stem[:200], h.Sum64())
	}
	exists := func(name string) bool {
		_, err := s.Rejected.Lstat(name)
		return err == nil
	}
	free := stem + ending
	for n := 1; exists(free) || exists(free+ReasonSuffix); n++ {
		free = stem + "." + strconv.Itoa(n) + ending
	}
	return free
}

func isReason(e Entry) bool { return strings.HasSuffix(e.Name, ReasonSuffix) }

// CountRejects counts what is in rejected, but for the reasons.
func (s *Spool) CountRejects() (n int, err error) {
	names, err := s.Rejected.List()
	for _, name := range names {
		if !strings.HasSuffix(name, ReasonSuffix) {
			n++
		}
	}
	return n, err
}

// PruneRejects removes all but the MaxRejects newest rejects. The reason is
// written when a file is rejected, so its time says which are the newest.
func (s *Spool) PruneRejects() error {
	list, err := s.Rejected.entries(func(string) bool { return true })
	if err != nil || len(list) <= MaxRejects {
		return err
	}
	reasons := map[string]int64{}
	for _, e := range list {
		if isReason(e) {
			reasons[strings.TrimSuffix(e.Name, ReasonSuffix)] = e.MTime
		}
	}
	rejects := slices.DeleteFunc(list, isReason)
	if len(rejects) <= MaxRejects && len(reasons) <= MaxRejects {
		return nil
	}
	for i, r := range rejects {
		if when, ok := reasons[r.Name]; ok {
			rejects[i].MTime = when
			delete(reasons, r.Name)
		}
	}
	slices.SortFunc(rejects, older)
	var errs []error
	for _, r := range rejects[:max(0, len(rejects)-MaxRejects)] {
		errs = append(errs, s.Rejected.RemoveAll(r.Name), s.Rejected.RemoveAll(r.Name+ReasonSuffix))
	}
	for name := range reasons { // whose reject is gone
		errs = append(errs, s.Rejected.RemoveAll(name+ReasonSuffix))
	}
	return errors.Join(errs...)
}

// TmpTTL is the age at which a file in tmp is taken for abandoned.
const TmpTTL = 24 * time.Hour

// CleanTmp removes the files in tmp that are older than TmpTTL.
func (s *Spool) CleanTmp(now time.Time) error {
	limit := now.Add(-TmpTTL).UnixNano()
	files, err := s.Tmp.entries(func(string) bool { return true })
	errs := []error{err}
	for _, f := range files {
		if f.MTime < limit && !f.Mode.IsDir() {
			errs = append(errs, s.Tmp.RemoveAll(f.Name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cleaning tmp: %w", err)
	}
	return nil
}
