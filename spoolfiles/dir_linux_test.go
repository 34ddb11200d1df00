package spoolfiles

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// setDefaultACL does what "setfacl -d -m u::rwx,g::rwx,o::r-x" does.
func setDefaultACL(t *testing.T, dir string) {
	t.Helper()
	acl := binary.LittleEndian.AppendUint32(nil, 2) // version
	for _, e := range []struct{ tag, perm uint16 }{{0x01, 7}, {0x04, 7}, {0x20, 5}} {
		acl = binary.LittleEndian.AppendUint16(acl, e.tag)
		acl = binary.LittleEndian.AppendUint16(acl, e.perm)
		acl = binary.LittleEndian.AppendUint32(acl, ^uint32(0))
	}
	err := unix.Setxattr(dir, "system.posix_acl_default", acl, 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skipf("%s: the file system has no ACLs", dir)
	}
	must(t, err)
}

// A default ACL takes the place of the umask.
func TestModesDespiteDefaultACL(t *testing.T) {
	p := t.TempDir()
	setDefaultACL(t, p)
	probe := filepath.Join(p, "probe")
	must(t, os.Mkdir(probe, 0o777))
	if info, err := os.Stat(probe); err != nil || info.Mode().Perm() != 0o775 {
		t.Fatalf("the ACL has no effect: %v, %v", info.Mode(), err)
	}
	must(t, Drop(p, []byte("{}")))
	s, err := Open(p)
	must(t, err)
	defer s.Close()
	must(t, s.Root.WriteFile("ledger", nil, s.Tmp, false))
	if wrong := modes(t, s.Root.Path()); wrong != nil {
		t.Errorf("%q", wrong)
	}

	// What a shell makes there is open to others, and made private.
	q := t.TempDir()
	setDefaultACL(t, q)
	root := filepath.Join(q, DirName)
	for _, dir := range []string{root, filepath.Join(root, "tmp"), filepath.Join(root, "incoming")} {
		must(t, os.Mkdir(dir, 0o777))
	}
	must(t, Drop(q, []byte("{}")))
	if wrong := modes(t, root); wrong != nil {
		t.Errorf("%q", wrong)
	}
}
