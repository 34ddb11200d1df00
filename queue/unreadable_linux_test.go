package queue

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnreadableDrop gives up root's power to read everything, where it has it.
func TestUnreadableDrop(t *testing.T) {
	sp := project(t)
	place(t, sp, "no.json", signalAt(1), longAgo)
	must(t, os.Chmod(filepath.Join(sp.Incoming.Path(), "no.json"), 0))
	place(t, sp, "good.json", signalAt(2), longAgo)
	q := New(sp, options(100), nil)
	var res Result
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its power gone
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		if err = unix.Capget(&hdr, &caps[0]); err != nil {
			return
		}
		caps[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
		if err = unix.Capset(&hdr, &caps[0]); err != nil {
			return
		}
		res, err = q.Fold(t.Context())
	}()
	<-done
	if err != nil || res.Folded != 1 || res.Rejected != 1 || res.Rejects[0].Reason != "not readable: permission denied" {
		t.Errorf("%+v, %v", res, err)
	}
	wantQueue(t, q, 2)
	closes(t, q)
}
