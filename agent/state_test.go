package agent

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A path is any bytes, also in the status file and in status --json.
func TestPathsThatAreNotUTF8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + string(rapid.SliceOf(rapid.Byte()).Draw(t, "path"))
		want := ProjectState{Path: path, State: StateError, Error: "x", SameAs: path + "2"}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got ProjectState
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
