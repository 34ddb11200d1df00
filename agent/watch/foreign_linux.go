package watch

import "golang.org/x/sys/unix"

// foreign are the file systems on which others make changes that this kernel
// does not see, by the numbers of statfs(2). drvfs of WSL 2 is a 9p.
var foreign = map[uint32]string{
	unix.NFS_SUPER_MAGIC:  "NFS",
	unix.SMB_SUPER_MAGIC:  "SMB",
	unix.SMB2_SUPER_MAGIC: "SMB",
	unix.CIFS_SUPER_MAGIC: "SMB",
	unix.V9FS_MAGIC:       "9p",
	unix.FUSE_SUPER_MAGIC: "FUSE",
	unix.AFS_SUPER_MAGIC:  "AFS",
	unix.AFS_FS_MAGIC:     "AFS",
	unix.CODA_SUPER_MAGIC: "Coda",
	unix.CEPH_SUPER_MAGIC: "Ceph",
	0x0bd00bd0:            "Lustre", // not in the kernel's headers, as the next
	0x786f4256:            "vboxsf",
}

// Foreign names a directory's file system if it is one on which others make
// changes that this kernel does not see; else it returns "".
func Foreign(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "" // the next operation will tell
	}
	return foreign[uint32(st.Type)]
}
