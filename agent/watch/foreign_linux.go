package watch

import "golang.org/x/sys/unix"

// Foreign names a directory's file system if it is one on which
// others make changes that this kernel does not see; else "". The numbers are
// statfs(2)'s; drvfs of WSL 2 is a 9p.
func Foreign(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "" // the next operation will tell
	}
	switch uint32(st.Type) {
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return "SMB"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.FUSE_SUPER_MAGIC:
		return "FUSE"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "AFS"
	case unix.CODA_SUPER_MAGIC:
		return "Coda"
	case unix.CEPH_SUPER_MAGIC:
		return "Ceph"
	case 0x0bd00bd0: // not in the kernel's headers, as the next
		return "Lustre"
	case 0x786f4256:
		return "vboxsf"
	}
	return ""
}
