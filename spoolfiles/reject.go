package spoolfiles

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// ReasonSuffix is what the file beside a reject is called by.
const ReasonSuffix = ".reason"

// MaxRejects is how many rejects are kept, the newest.
const MaxRejects = 100

// RejectName returns a name that is free in rejected: name itself, or one that ends
// like it. A reason alone, which a kill can leave, takes no name.
func (s *Spool) RejectName(name string) string {
	_, err := s.Rejected.Lstat(name)
	reason, rerr := s.Rejected.Lstat(name + ReasonSuffix)
	if err == nil || rerr == nil && reason.Mode.IsDir() || len(name) > 230 { // a name has at most 255 bytes nearly everywhere
		name = NewID() + "-" + name[max(0, len(name)-150):]
	}
	return name
}

// CountRejects counts what is in rejected, but for the reasons.
func (s *Spool) CountRejects() (int, error) {
	names, err := s.Rejected.names(func(name string) bool { return !strings.HasSuffix(name, ReasonSuffix) })
	return len(names), err
}

// PruneRejects removes all but the MaxRejects newest rejects. The reason is
// written when a file is rejected, so its time says which are the newest.
func (s *Spool) PruneRejects() error {
	reasons, err := s.Rejected.entries(func(name string) bool { return strings.HasSuffix(name, ReasonSuffix) })
	slices.SortFunc(reasons, older)
	errs := []error{err}
	for _, reason := range reasons[:max(0, len(reasons)-MaxRejects)] {
		reject := strings.TrimSuffix(reason.Name, ReasonSuffix)
		errs = append(errs, s.Rejected.RemoveAll(reject), s.Rejected.RemoveAll(reason.Name))
	}
	return errors.Join(errs...)
}

// TmpTTL is the age at which a file in tmp is taken for abandoned.
const TmpTTL = 24 * time.Hour

// CleanTmp removes the files in tmp that are older than TmpTTL.
func (s *Spool) CleanTmp(now time.Time) error {
	files, err := s.Tmp.entries(func(string) bool { return true })
	errs := []error{err}
	for _, f := range files {
		if now.Sub(time.Unix(0, f.MTime)) > TmpTTL && !f.Mode.IsDir() {
			errs = append(errs, s.Tmp.RemoveAll(f.Name))
		}
	}
	return errors.Join(errs...)
}
