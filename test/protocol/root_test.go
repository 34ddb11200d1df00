//go:build linux && root

package protocol

import (
	"testing"
)

// A producer on a full disk says so by its exit status, and leaves no drop.
func TestRootProducersOnFullDisk(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := newStage(t, "")
		argv := []string{s.project}
		if !l.shell {
			argv = append(argv, "n", "1")
		}
		producer := l.command(s, l.drop, argv...)
		// Of inodes there are enough, of blocks none is left.
		script := `mount -t tmpfs -o size=64k tmpfs "$1" && mkdir -m 700 "$1/tmp" "$1/incoming" || exit 99
			cat /dev/zero >"$1/full" 2>/dev/null; shift; "$@" && exit 98; ls .spool/incoming`
		cmd := s.Command("unshare", append([]string{"-m", "sh", "-c", script, "sh", s.spool()}, producer.Args...)...)
		cmd.Dir = s.project
		if r := s.run(cmd, `{"payload":"<n-0>"}`); r.status != 0 || r.stdout != "" {
			t.Errorf("on a full disk: %+v", r)
		}
	})
}
