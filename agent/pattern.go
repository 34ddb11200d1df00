package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"

	"spoolagent/internal/quote"
	"spoolagent/spoolfiles"
)

// maxPatternWatches bounds what is watched for one pattern: directories that
// may get a .spool. Those beyond are found by the safety scan.
const maxPatternWatches = 1000

// wild are the characters that make a component of a path a pattern.
const wild = `*?[\`

// CheckPattern refuses what is no pattern of directories: an absolute path whose
// components are patterns of path/filepath.Match. No component stands for more
// than one directory.
func CheckPattern(pattern string) error {
	if err := checkProject(pattern); err != nil {
		return err
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return fmt.Errorf("pattern %s: %w", quote.Text(pattern), err)
	}
	return nil
}

// Expand returns the projects that a pattern stands for at present: the directories
// that match and have a .spool, sorted.
func Expand(pattern string) []string {
	projects, _ := expand(pattern)
	return projects
}

// expand returns besides what has to be watched to learn of a change. What
// cannot be read does not match.
func expand(pattern string) (projects []string, watch []want) {
	volume := filepath.VolumeName(pattern)
	components := strings.FieldsFunc(pattern[len(volume):], func(r rune) bool { return os.IsPathSeparator(uint8(r)) })
	dirs := []string{volume + string(filepath.Separator)}
	for _, c := range components {
		var next []string
		if !strings.ContainsAny(c, wild) {
			for _, d := range dirs {
				path := filepath.Join(d, c)
				if isDir(path) {
					next = append(next, path)
				} else {
					watch = append(watch, want{d, wayMatters(c)})
				}
			}
			dirs = next
			continue
		}
		for _, d := range dirs {
			watch = append(watch, want{d, matchMatters(c)})
			entries, _ := os.ReadDir(d)
			for _, e := range entries {
				if ok, _ := filepath.Match(c, e.Name()); !ok {
					continue
				}
				if path := filepath.Join(d, e.Name()); e.IsDir() || isDir(path) {
					next = append(next, path)
				}
			}
		}
		dirs = next
	}
	for _, d := range dirs {
		if info, err := os.Lstat(filepath.Join(d, spoolfiles.DirName)); err == nil && info.IsDir() {
			projects = append(projects, d)
		} else {
			watch = append(watch, want{d, wayMatters(spoolfiles.DirName)})
		}
	}
	slices.Sort(projects)
	return projects, watch[:min(len(watch), maxPatternWatches)]
}

// matchMatters: something that matches appeared, went, or got other permissions.
func matchMatters(component string) matcher {
	return func(name string, op fsnotify.Op) bool {
		ok, _ := filepath.Match(component, name)
		return ok && op&^fsnotify.Write != 0
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
