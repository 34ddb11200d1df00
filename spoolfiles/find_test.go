//go:build unix

package spoolfiles_test

import (
	"testing"

	"spoolagent/internal/agenttest"
	"spoolagent/spoolfiles"
)

// TestFind goes through the table of cases that the hook is tested with, too.
func TestFind(t *testing.T) {
	agenttest.EachPlace(t, func(t *testing.T, p agenttest.Place) {
		t.Setenv("HOME", p.Home)
		if got := spoolfiles.Find(p.Start); got != p.Want && p.Want != "" {
			t.Errorf("from %s: %s, want %s", p.Start, got, p.Want)
		}
	})
}
