// Package doctor finds out what is wrong with a user's set-up of the agent, and
// how to mend it. It changes nothing: no file of the user, of a spool or of the
// state directory, apart from what the self-test makes, and removes again.
//
// # Checks
//
// Each check has a name that stays, so that programs can rely on it; its part
// before the dot is what it is about. A check that fails for several projects
// in the same way is told once. See README.md for what they are.
//
// Facts about the OS service, the configuration and the AI tools are handed in
// (Facts): this package imports nothing but what serves spools.
//
// # Trust
//
// A spool may be hostile, huge, or on a file system that has gone. So it is
// reached through spoolfiles, which follows no links; no directory is listed to
// an end that does not come; and a project that does not answer is left behind,
// with the goroutine that waits for it. Git, which is asked whether a spool is
// tracked, is kept from running what the repository's own settings name.
//
// # The self-test
//
// It sends a signal through a project of its own, StateDir/doctor-NNNN, which
// it registers with the running agent like any other. Meanwhile it holds the
// lock on StateDir/doctor.lock, so that whoever has it knows all such projects
// to be those of self-tests that were killed, and removes them.
package doctor
