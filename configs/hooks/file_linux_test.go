package hooks

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// accessList lets user 1234 read, in the form of the kernel.
func accessList() []byte {
	list := binary.LittleEndian.AppendUint32(nil, 2) // version
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 6, ^uint32(0)}, {0x02, 4, 1234}, {0x04, 0, ^uint32(0)}, {0x10, 4, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, e.perm)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

// A file keeps its access list, and gets none from its directory.
func TestAccessLists(t *testing.T) {
	for _, kept := range []bool{true, false} {
		s := newSetup(t)
		path := put(t, "{}\n", s.home, ".claude", "settings.json")
		on, name := path, "system.posix_acl_access"
		if !kept {
			on, name = filepath.Dir(path), "system.posix_acl_default"
		}
		if err := unix.Setxattr(on, name, accessList(), 0); err != nil {
			t.Fatal(err)
		}
		mode := mustStat(t, path).Mode()
		check := func() {
			t.Helper()
			got := make([]byte, 1000)
			n, err := unix.Getxattr(path, "system.posix_acl_access", got)
			if kept && (err != nil || !bytes.Equal(got[:n], accessList())) {
				t.Errorf("the list is %x, %v", got[:max(n, 0)], err)
			}
			if !kept && err != unix.ENODATA {
				t.Errorf("there is a list: %v", err)
			}
			if now := mustStat(t, path).Mode(); now != mode {
				t.Errorf("mode %v, want %v", now, mode)
			}
		}
		install(t, s, "claude", "")
		check()
		uninstall(t, s, "claude", "")
		check()
	}
}
