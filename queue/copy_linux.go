package queue

import (
	"encoding/binary"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cursors are where a record's copies have come to. If the record is exact
// they lie in a shared mapping of it, and the kernel moves them.
type cursors struct {
	mapping []byte
	mem     []byte  // the cursors in the mapping; nil if there is none
	pos     []int64 // without one
	file    *os.File
	base    int64
}

// mapCursors maps the cursors of a record, which need not be written yet. If
// the file system cannot, they are moved by hand, and r is not exact.
func mapCursors(redo *os.File, r *record) *cursors {
	c := &cursors{file: redo, base: r.cursorsAt}
	if r.exact && len(r.copies) > 0 {
		in := r.cursorsAt % int64(os.Getpagesize()) // where they are in the first page
		mem, err := unix.Mmap(int(redo.Fd()), r.cursorsAt-in, int(in)+8*len(r.copies), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err == nil {
			c.mapping, c.mem = mem, mem[in:]
		}
		r.exact = err == nil
	}
	return c
}

// arm takes the cursors from the record, which is written by now.
func (c *cursors) arm(r *record) {
	if c.mem == nil {
		c.pos = append(c.pos[:0], r.cursors...)
		return
	}
	for i := range r.copies {
		// A store, though it changes nothing: the page must be writable when
		// the kernel writes to it, for a fault in there can fail if the
		// process is being killed.
		atomic.StoreInt64(c.cell(i), r.cursors[i])
	}
}

func (c *cursors) cell(i int) *int64 { return (*int64)(unsafe.Pointer(&c.mem[8*i])) }

func (c *cursors) at(i int) int64 {
	if c.mem == nil {
		return c.pos[i]
	}
	return atomic.LoadInt64(c.cell(i))
}

// moved reports whether any copy has begun.
func (c *cursors) moved(r *record) bool {
	for i, s := range r.copies {
		if c.at(i) != s.from {
			return true
		}
	}
	return false
}

// copy moves copy i on by at most n bytes, writing to the queue at to.
func (c *cursors) copy(i int, queue *os.File, to int64, redo *os.File, n int64) error {
	if c.mem == nil {
		return c.copyByHand(i, queue, to, redo, n)
	}
	if _, err := queue.Seek(to, io.SeekStart); err != nil {
		return err
	}
	// The whole point: one call that copies and says how far it came.
	done, err := unix.Sendfile(int(queue.Fd()), int(redo.Fd()), c.cell(i), int(n))
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return nil
	case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP:
		return errNoSendfile
	case err != nil:
		return os.NewSyscallError("sendfile", err)
	case done == 0:
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (c *cursors) close() {
	if c.mem != nil {
		unix.Munmap(c.mapping)
		c.mapping, c.mem = nil, nil
	}
}

func appendCursor(b []byte, n int64) []byte { return binary.NativeEndian.AppendUint64(b, uint64(n)) }
func parseCursor(b []byte) int64            { return int64(binary.NativeEndian.Uint64(b)) }

// preallocate makes sure that the disk has room for the queue to grow, so that
// a full disk is met before anything has been changed.
func preallocate(f *os.File, size, newSize int64) error {
	if newSize <= size {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err == nil && st.Blocks*512 >= newSize {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, size, newSize-size)
	if err == unix.ENOSPC || err == unix.EDQUOT {
		return os.NewSyscallError("fallocate", err)
	}
	return nil // not every file system can; then the copy will tell
}

func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// bootID names the running kernel's life: cursors of another one have seen a
// power cut or a reboot, and what they say may not have reached the disk.
var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "-"
	}
	return strings.TrimSpace(string(id))
})
