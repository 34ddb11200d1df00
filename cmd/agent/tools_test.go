//go:build linux && tools

package main

import "testing"

// TestToolScripts is TestScripts for those that need more than a Linux has
// anyway: strace, bash, and script(1) to make a terminal.
func TestToolScripts(t *testing.T) { runScripts(t, "tools") }
