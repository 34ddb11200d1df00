// Package doctor finds out what is wrong with a user's set-up of the agent, and
// how to fix it.
//
// # The checks
//
//	agent.running      no agent, or one that refuses its configuration
//	agent.version      an agent of another version
//	service            not installed, not enabled, not running, without lingering; a
//	                   program that does not exist, or is another one
//	config             a configuration that is refused
//	registry           files that name no project
//	hooks              tools that are installed but not connected; hooks that are
//	                   incomplete, outdated, taken out again, or kept from running by
//	                   a setting; scripts that are missing
//	project.exists     projects, or spools, that do not exist
//	project.served     a project that cannot be opened or counted, or is polled, or
//	                   left to another agent
//	spool.permissions  a spool that is open to others
//	spool.off          recording is off
//	spool.git          a spool that is tracked by git
//	spool.waiting      drops that wait: for an agent, or for too long
//	spool.rejects      drops that were rejected
//	spool.evicted      signals that were evicted since the last drain
//	disk               too little space, too few inodes
//	here               which project a hook gets in this directory, and why; that it
//	                   stores nothing
//	selftest           a signal that goes through a project of its own, from drop to drain
//
// What a report of package status tells is told by Known; the rest takes a closer
// look.
//
// # Invariants
//
// Nothing is changed: no file of the user, of a spool or of the state directory.
// There are exceptions. A queue that is read is recovered first, as every reader
// does after a crash. The self-test makes a project, and removes it.
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
// leaves this project behind, which "agent status" shows once a minute has gone.
package doctor
