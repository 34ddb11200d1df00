//go:build linux && root

package hooks

import (
	"os"
	"syscall"
	"testing"
)

// Root may edit the settings of somebody else, to whom they go on to belong.
func TestRootOwnerStays(t *testing.T) {
	s := newSetup(t)
	path := put(t, "{}\n", s.home, ".claude", "settings.json")
	if err := os.Chown(path, 1234, 5678); err != nil {
		t.Fatal(err)
	}
	install(t, s, "claude", "")
	for _, p := range []string{path, path + ".before-spool-agent"} {
		if st := mustStat(t, p).Sys().(*syscall.Stat_t); st.Uid != 1234 || st.Gid != 5678 {
			t.Errorf("%s belongs to %d:%d", p, st.Uid, st.Gid)
		}
	}
}
