package queue

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A fold into a full queue writes what is new, and no more than 32 KiB, unless it
// compacts the queue.
func TestFoldWritesWhatIsNew(t *testing.T) {
	runtime.LockOSThread() // the kernel counts for each thread
	defer runtime.UnlockOSThread()
	written := func() (n int) {
		data, err := os.ReadFile("/proc/thread-self/io")
		must(t, err)
		_, text, _ := strings.Cut(string(data), "wchar: ")
		_, err = fmt.Sscan(text, &n)
		must(t, err)
		return n
	}
	const limit, folds = 100, 400
	sp := project(t)
	q := New(sp, options(limit), nil)
	payload := strings.Repeat("x", 4096) // as much as is kept
	compacted := 0
	for i := range limit + folds {
		place(t, sp, fmt.Sprint(i, ".json"), fmt.Sprintf(`{"payload":"%s"}`, payload), longAgo.Add(time.Duration(i)))
		before := written()
		fold(t, q)
		n := written() - before
		r, err := q.newest()
		must(t, err)
		switch {
		case r.Verb == compactVerb:
			compacted++
		case n > 32<<10:
			t.Fatalf("fold %d wrote %d bytes", i, n)
		case n < len(payload):
			t.Fatalf("fold %d wrote %d bytes: this counts nothing", i, n)
		}
	}
	if compacted == 0 || compacted > folds/50 {
		t.Errorf("%d of %d folds have compacted the queue", compacted, folds)
	}
}
