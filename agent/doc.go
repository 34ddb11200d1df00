// Package agent serves the spools of many projects: it watches them, folds
// their drops, answers their requests, returns unclaimed replies, and reports.
//
// # How it is built
//
// The roster decides which projects are served: those of the settings, and those
// that its sources name, which are the registry and the patterns. Sources tell
// by a channel; the roster alone hires and dismisses workers.
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
// An idle agent has no other timer, but that of its supervisor's watchdog.
//
// A project is polled that cannot be watched, for the watches are used up or its
// file system does not tell what others do. Nor need there be descriptors for
// all: beyond half of them, a spool is closed between looks, and only its lock
// is kept. A file system that does not answer at all holds up its own worker
// only: nothing that may hang there is done under a lock, and a worker that
// hangs gives back its turn.
//
// # Who serves a project
//
// The agent that holds the lock on .spool/agent.lock. What the file says of its
// holder is for people; only the lock counts, for a process id may be reused
// and a file outlives its writer. Within an agent it is the worker that has
// claimed the spool's directory, so that one with two names is served once.
//
// Agents are found in the same way: each holds a lock beside its status file for
// as long as it lives. The one that serves the projects of a user holds
// agent.lock in the state directory besides.
//
// # Who follows
//
// Follow is the other side, a consumer that stays. It looks as a worker does,
// and takes what there is through the functions that it is given, so it needs no
// agent. A batch is a reply like any other and stays one until it has been
// handed over; that it is not returned meanwhile is seen to by touching it.
//
// What a follower has asked for bears its name, and the lock on
// control/.follow-NAME.lock says whether it lives. The next follower takes over
// from a dead one, before anything newer and under the same ids. So an id, which
// is the batch's and the line's number, names the same signal for as long as the
// reply exists; only a signal that went back into the queue gets another.
package agent
