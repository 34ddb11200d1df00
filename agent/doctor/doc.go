// Package doctor finds out what is wrong with a user's set-up of the agent, and
// how to fix it. See README.md for what it checks.
//
// # Invariants
//
// Nothing is changed: no file of the user, of a spool or of the state directory.
// There are exceptions. A queue that is read is recovered first, as every reader
// does after a crash. The status files of dead agents are removed. The self-test
// makes a project, and removes it.
//
// The name of a check stays the same, so that programs can rely on it.
//
// A spool may be hostile, huge, or on a file system that does not answer. So it
// is reached through spoolfiles, which follows no links, and a project that does
// not answer in time is given up, with the goroutine that waits for it. Git,
// which is asked whether a spool is tracked, does not run what the repository's
// own settings name.
//
// # The self-test
//
// It sends a signal through a project of its own, StateDir/doctor-ID, which it
// registers with the running agent like any other. A self-test that was killed
// leaves this project behind, which "agent status" shows like any other.
package doctor
