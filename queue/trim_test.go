package queue

import (
	"os"
	"strings"
	"testing"
)

// A program that takes no lock may append while an emptied queue is read, which
// takes long if it is large: what it has appended stays.
func TestTrimBesideLocklessAppend(t *testing.T) {
	sp := project(t)
	writeQueue(t, sp, signalAt(1)+"\n")
	q := New(sp, options(0), nil)
	q.step = func(what string, n int64) int64 {
		if what == "trim" {
			f, err := os.OpenFile(queuePath(sp), os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			defer f.Close()
			_, err = f.WriteString(signalAt(2) + "\n")
			must(t, err)
		}
		return n
	}
	if _, err := q.Take(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if text := readQueue(t, sp); !strings.HasSuffix(text, signalAt(2)+"\n") {
		t.Errorf("the queue has %q", text)
	}
}
