//go:build linux

// Recorder serves one file as the disk of a loop device and records what is
// written to it, so that the disk can be rebuilt as a power cut at any point
// would have left it.
//
//	recorder IMAGE RECORD DIR
//
// DIR becomes a FUSE file system with two files. DIR/disk has the content of
// IMAGE, and writes go through to it. DIR/seq holds the number of records so
// far. RECORD gets one record for each write and each flush, in the order in
// which they reached the disk:
//
//	kind    1 byte, 'W' for a write or 'F' for a flush
//	offset  8 bytes, little endian; 0 for a flush
//	length  4 bytes, little endian; 0 for a flush
//	data    length bytes
//
// A write or flush is recorded before its caller learns that it is done. So a
// program that sees an effect and then reads DIR/seq gets a number that covers
// everything that the effect had made durable.
//
// The recorder ends when DIR is unmounted. It is a program of its own since a
// process that serves a file system and uses it at the same time can deadlock.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("recorder: ")
	if len(os.Args) != 4 {
		log.Fatal("usage: recorder IMAGE RECORD DIR")
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func serve(imageName, recordName, dir string) (err error) {
	image, err := os.OpenFile(imageName, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening the image: %w", err)
	}
	defer image.Close()
	info, err := image.Stat()
	if err != nil {
		return fmt.Errorf("opening the image: %w", err)
	}
	record, err := os.Create(recordName)
	if err != nil {
		return fmt.Errorf("creating the record: %w", err)
	}
	r := &recorder{image: image, size: info.Size(), out: bufio.NewWriterSize(record, 1<<20)}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		err = errors.Join(err, r.out.Flush(), record.Close())
	}()
	server, err := fs.Mount(dir, &root{r: r}, &fs.Options{
		MountOptions: fuse.MountOptions{
			FsName:            "recorder",
			Name:              "recorder",
			DirectMountStrict: true, // no helper program
			MaxWrite:          1 << 20,
			DisableXAttrs:     true,
		},
	})
	if err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	server.Wait()
	return nil
}

// recorder is the disk and its record. The mutex makes the order of records
// the order of writes.
type recorder struct {
	mu    sync.Mutex
	image *os.File
	size  int64
	out   *bufio.Writer
	seq   int
}

// add appends one record. The caller holds the mutex.
func (r *recorder) add(kind byte, off int64, data []byte) error {
	header := append(make([]byte, 0, 13), kind)
	header = binary.LittleEndian.AppendUint64(header, uint64(off))
	header = binary.LittleEndian.AppendUint32(header, uint32(len(data)))
	if _, err := r.out.Write(header); err != nil {
		return err
	}
	if _, err := r.out.Write(data); err != nil {
		return err
	}
	r.seq++
	return nil
}

type root struct {
	fs.Inode
	r *recorder
}

var _ = fs.NodeOnAdder((*root)(nil))

func (n *root) OnAdd(ctx context.Context) {
	for name, child := range map[string]fs.InodeEmbedder{"disk": &disk{r: n.r}, "seq": &seq{r: n.r}} {
		n.AddChild(name, n.NewPersistentInode(ctx, child, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
}

type disk struct {
	fs.Inode
	r *recorder
}

var _ interface {
	fs.NodeGetattrer
	fs.NodeSetattrer
	fs.NodeOpener
	fs.NodeReader
	fs.NodeWriter
	fs.NodeFsyncer
} = (*disk)(nil)

func (n *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, uint64(n.r.size)
	return fs.OK
}

// Setattr accepts changes of times and changes nothing.
func (n *disk) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.Getattr(ctx, f, out)
}

func (n *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, fs.OK
}

func (n *disk) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	got, err := n.r.image.ReadAt(dest, off)
	if err != nil && err != io.EOF {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:got]), fs.OK
}

func (n *disk) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if off+int64(len(data)) > n.r.size {
		return 0, syscall.ENOSPC
	}
	n.r.mu.Lock()
	defer n.r.mu.Unlock()
	if _, err := n.r.image.WriteAt(data, off); err != nil {
		return 0, fs.ToErrno(err)
	}
	return uint32(len(data)), fs.ToErrno(n.r.add('W', off, data))
}

func (n *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.r.mu.Lock()
	defer n.r.mu.Unlock()
	return fs.ToErrno(n.r.add('F', 0, nil))
}

type seq struct {
	fs.Inode
	r *recorder
}

var _ interface {
	fs.NodeOpener
	fs.NodeReader
} = (*seq)(nil)

// Open turns the kernel's cache off: every read asks anew.
func (n *seq) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, fs.OK
}

func (n *seq) Read(_ context.Context, _ fs.FileHandle, _ []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.r.mu.Lock()
	defer n.r.mu.Unlock()
	if off > 0 {
		return fuse.ReadResultData(nil), fs.OK
	}
	return fuse.ReadResultData(strconv.AppendInt(nil, int64(n.r.seq), 10)), fs.OK
}
