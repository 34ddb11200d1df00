// Package agent serves the spools of many projects: it watches them, folds
// their drops, answers their requests, returns unclaimed replies, and reports.
//
// # How it is built
//
// Each project has a worker, one goroutine that alone touches the project's
// spool and queue. It is told nothing but "look again" (a channel of one slot):
// events are hints and the directory is the truth, so a lost, doubled or late
// event costs a look and never a signal. A look compares what is open with what
// is at the paths, answers the requests, folds the drops and sweeps.
//
// All workers share one watcher. Its events and errors are read by one
// goroutine that does nothing else: it never calls the watcher (which could
// deadlock on Windows) and never waits for a worker. What is watched is kept
// in the watchTable, which the workers change.
//
// What no event tells (an ancestor renamed, a file system unmounted) is found
// by the safety scan: at every Config.ScanInterval all workers look at once.
// An idle agent has no other timer.
//
// # Who serves a project
//
// The agent that holds the lock on .spool/agent.lock. What the file says of its
// holder is for people; only the lock counts, for a process id may be reused
// and a file outlives its writer. Agents are found in the same way: each holds
// a lock beside its status file for as long as it lives.
package agent
