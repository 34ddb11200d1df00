//go:build linux && !portable

package queue

// # How a copy leaves exact evidence
//
// A program that knows the queue's lock and nothing else of ours may get the
// lock between our death and our recovery. It reads the queue and truncates
// it. Afterwards an empty queue says nothing of what it held: had our lines
// been there, and did the stranger take them? A note "copied" does not help.
// It is written before or after the copy, and a kill can fall between the two.
//
// So the kernel writes the note. sendfile(2) copies from one file to another
// and, before it returns, stores in its offset argument how far it came. We let
// that argument, the cursor, lie in a shared mapping of the record's file. The
// call that changes the queue also changes the cursor, and no instruction of
// ours runs in between. SIGKILL ends the call between two steps of 64 KiB; the
// kernel then stores the offset that it reached. So the cursor is exact in the
// middle of a copy, too.
//
// The cursor proves how far the copy came. Where it went is stored beside it
// before the copy begins. Every copy either overwrites old lines with blanks,
// front to back, or appends whole lines at the end. So what a stranger reads
// at any moment is some of the old lines, then some of the new ones, each
// either whole or malformed to everybody:
//
//   - A line with a blank in place of its first byte is malformed.
//   - Before lines are appended, their place is filled with blanks and a last line
//     feed. So what somebody appends after a cut begins a line of its own.
//   - A line without its end is malformed. One that lacks only its line feed is
//     whole. If its bytes are gone at recovery, a stranger has taken it; if they
//     are there, nobody has.
//
// A lockless writer that appends to the queue between our last look at its end
// and our next system call, some microseconds later, may lose its line: before an
// append, and before an empty queue is truncated. That is why a long text is copied
// in pieces of at most 64 KiB, each with an fstat of its own.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapCells maps the cells, which are in the record's file.
func (t *transaction) mapCells() error {
	at, n := t.cellsAt(), t.record.cells()
	if n == 0 {
		return nil
	}
	if fi, err := t.f.Stat(); err != nil || fi.Size() < at+int64(n)*int64(cellSize) {
		return errors.Join(errInexact, err) // to touch what is mapped beyond a file's end kills the process
	}
	inPage := at % int64(os.Getpagesize())
	mem, err := unix.Mmap(int(t.f.Fd()), at-inPage, int(inPage)+n*cellSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("%w: mmap: %w", errInexact, err)
	}
	t.unmap = func() { unix.Munmap(mem) }
	t.cells = unsafe.Slice((*cell)(unsafe.Pointer(&mem[inPage])), n)
	return nil
}

// advance moves a copy on by at most n bytes. The system call both copies and
// moves the cursor.
func advance(queue, record *os.File, c *cell, n int64) error {
	if _, err := queue.Seek(c.At+c.Cursor-c.From, io.SeekStart); err != nil {
		return err
	}
	// A store, though it changes nothing: the page must be writable when the kernel
	// stores the offset, for a page fault can fail while the process is being killed.
	atomic.StoreInt64(&c.Cursor, c.Cursor)
	done, err := unix.Sendfile(int(queue.Fd()), int(record.Fd()), &c.Cursor, int(n))
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return nil
	case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP:
		return fmt.Errorf("%w: sendfile: %w", errInexact, err)
	case err != nil:
		return os.NewSyscallError("sendfile", err)
	case done == 0:
		return io.ErrUnexpectedEOF
	}
	return nil
}

// reserve makes sure that the disk has room for the queue to grow, so that a
// full disk is met before anything has been changed.
func reserve(f *os.File, size, grow int64) error {
	if grow <= 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err == nil && st.Blocks*512 >= size+grow {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, size, grow)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return os.NewSyscallError("fallocate", err)
	}
	return nil // not every file system can; then the copy meets the full disk
}

func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// bootID names the running kernel's life: the cursors of another one may not
// have reached the disk.
var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if s := strings.TrimSpace(string(id)); err == nil && s != "" {
		return s
	}
	return unknownBoot
})
