//go:build linux && root

package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unshared is a command line that runs argv with file systems of its own to mount.
func unshared(argv ...string) []string { return append([]string{"unshare", "-m"}, argv...) }

// Without a /dev/null it can only give up, in silence.
func TestRootHookNoDevNull(t *testing.T) {
	hook := script(t, Hook())
	eachShell(t, func(t *testing.T, sh []string) {
		const inside = `mount -t tmpfs -o ro none /dev || exit 9; exec "$@"`
		argv := unshared(append([]string{"sh", "-c", inside, "sh"}, sh...)...)
		cmd := command(t.TempDir(), append(argv, hook))
		cmd.Stdin = strings.NewReader(event)
		if r := run(t, cmd); r != (result{}) {
			t.Errorf("%+v", r)
		}
	})
}

func TestRootHookForeignSpool(t *testing.T) {
	hook := script(t, Hook())
	eachShell(t, func(t *testing.T, sh []string) {
		for _, foreign := range []string{".", "tmp", "incoming"} {
			dir := t.TempDir()
			mkdir(t, dir, ".spool", "tmp")
			mkdir(t, dir, ".spool", "incoming")
			if err := os.Chown(filepath.Join(dir, ".spool", foreign), 65534, 65534); err != nil {
				t.Fatal(err)
			}
			runHook(t, command(dir, append(sh, hook)), large)
			wantDrops(t, dir)
		}
	})
}

// An input that does not fit on the disk becomes no drop, and leaves nothing behind.
func TestRootHookDiskFull(t *testing.T) {
	hook := script(t, Hook())
	eachShell(t, func(t *testing.T, sh []string) {
		const inside = `mount -t tmpfs -o size=128k none . && cd "$PWD" || exit 9
			"$@"; status=$?; find .spool/tmp .spool/incoming -type f; exit $status`
		argv := unshared(append([]string{"sh", "-c", inside, "sh"}, sh...)...)
		cmd := command(t.TempDir(), append(argv, hook))
		fed := feed(t, cmd, large)
		r := run(t, cmd)
		if err := fed(); err != nil || r != (result{}) {
			t.Errorf("%+v, writing the event: %v", r, err)
		}
	})
}
