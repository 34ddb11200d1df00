//go:build linux && powercut

package powercut

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// fileSystem is a kind of file system.
type fileSystem struct {
	name    string
	size    int64    // of the disk, in bytes
	mkfs    []string // options
	options string   // of mount
	super   int64    // where the superblock is, which is never torn: its file system needs it whole
}

// Every cut disk of a recording has the same UUID, which xfs would refuse.
var fileSystems = []fileSystem{
	{"ext4", 64 << 20, []string{"-qF", "-b4096"}, "loop", 1024},
	{"xfs", 300 << 20, []string{"-qf"}, "loop,nouuid", 0},
	{"btrfs", 128 << 20, []string{"-qf"}, "loop", 64 << 10},
}

// make makes an empty file system in a new file.
func (f fileSystem) make(name string) {
	check(os.WriteFile(name, nil, 0o600))
	check(os.Truncate(name, f.size))
	run(exec.Command("mkfs."+f.name, append(slices.Clone(f.mkfs), name)...))
}

// mount mounts a file system that lies in a file, on a loop device that goes
// with the mount.
func (f fileSystem) mount(file, dir string) {
	run(exec.Command("mount", "-t", f.name, "-o", f.options, file, dir))
}

// unmount waits for those who still use the mount.
func unmount(dir string) {
	var err error
	check(poll(10*time.Second, "the end of what uses "+dir, func() bool {
		err = unix.Unmount(dir, 0)
		return err != unix.EBUSY
	}))
	check(err)
}

// disk is a mounted file system whose writes are recorded. Its directory has
//
//	base    the disk before the first write
//	image   the disk now
//	record  what was written
//	fuse    where the recorder serves image
//	mnt     where the file system is mounted
type disk struct {
	dir      string
	recorder *exec.Cmd
	mounted  []string // what close unmounts, the last first
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *disk) open(f fileSystem) {
	check(os.Mkdir(d.path("fuse"), 0o700))
	check(os.Mkdir(d.path("mnt"), 0o700))
	f.make(d.path("base"))
	run(exec.Command("cp", "--sparse=always", d.path("base"), d.path("image")))
	d.recorder = exec.Command(recorderProgram, d.path("image"), d.path("record"), d.path("fuse"))
	d.recorder.Stderr = os.Stderr
	check(d.recorder.Start())
	d.mounted = append(d.mounted, d.path("fuse"))
	check(poll(10*time.Second, "the recorder", func() bool {
		_, err := os.Stat(d.path("fuse/seq"))
		return err == nil
	}))
	f.mount(d.path("fuse/disk"), d.path("mnt"))
	d.mounted = append(d.mounted, d.path("mnt"))
}

// close unmounts the disk, which completes the record. It may be called again.
func (d *disk) close() {
	for len(d.mounted) > 0 {
		last := len(d.mounted) - 1
		unmount(d.mounted[last])
		d.mounted = d.mounted[:last]
		if last == 0 {
			check(d.recorder.Wait())
		}
	}
}

// seq is the number of records so far.
func (d *disk) seq() int { return must(strconv.Atoi(string(must(os.ReadFile(d.path("fuse/seq")))))) }

// write is a record; a flush has no data.
type write struct {
	off  int64
	data []byte
}

func (w write) flush() bool { return w.data == nil }

// readRecord reads the first n records.
func readRecord(name string, n int) []write {
	const header = 13
	writes := make([]write, n)
	data := must(os.ReadFile(name))
	for i := range writes {
		writes[i].off = int64(binary.LittleEndian.Uint64(data[1:]))
		end := header + int(binary.LittleEndian.Uint32(data[9:]))
		if data[0] == 'W' {
			writes[i].data = data[header:end]
		}
		data = data[end:]
	}
	return writes
}

// image is the content of a disk, in memory.
type image struct {
	data []byte
	used []bool // which chunks are not all zeros
}

const (
	chunk  = 64 << 10
	block  = 4096
	sector = 512
)

// readImage reads a sparse file.
func readImage(name string) *image {
	f := must(os.Open(name))
	defer f.Close()
	size := must(f.Stat()).Size()
	im := &image{data: make([]byte, size), used: make([]bool, (size+chunk-1)/chunk)}
	buf, zeros := make([]byte, chunk), make([]byte, chunk)
	for off := int64(0); off < size; off += chunk {
		n, err := f.ReadAt(buf, off)
		if err != io.EOF {
			check(err)
		}
		if !bytes.Equal(buf[:n], zeros[:n]) {
			im.write(write{off, buf[:n]})
		}
	}
	return im
}

func (im *image) write(w write) {
	copy(im.data[w.off:], w.data)
	for c := w.off / chunk; c*chunk < w.off+int64(len(w.data)); c++ {
		im.used[c] = true
	}
}

// save writes the disk to a new file, and on top of it those sectors of
// unsynced writes that survived reports true for.
func (im *image) save(name string, unsynced []write, survived func(i, sector int) bool) {
	f := must(os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600))
	defer f.Close()
	check(f.Truncate(int64(len(im.data))))
	for c, used := range im.used {
		if off := c * chunk; used {
			must(f.WriteAt(im.data[off:min(off+chunk, len(im.data))], int64(off)))
		}
	}
	for i, w := range unsynced {
		for off := 0; off < len(w.data); off += sector {
			if survived(i, off/sector) {
				must(f.WriteAt(w.data[off:min(off+sector, len(w.data))], w.off+int64(off)))
			}
		}
	}
}
