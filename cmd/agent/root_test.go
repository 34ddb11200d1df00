//go:build linux && root

package main

import "testing"

// TestRootScripts is TestScripts for those that mount, and act as another user.
func TestRootScripts(t *testing.T) { runScripts(t, "root") }
