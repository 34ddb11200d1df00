// Package agent serves the spools of many projects: it watches them, folds
// their drops, answers their requests, and returns unclaimed replies.
//
// # How it is built
//
// Run decides which projects are served: those of the settings, and those that
// its sources name, which are the registry and the patterns (sources.go). Each
// source is listed by a goroutine of its own; reconcile starts and stops workers.
//
// Each project has a worker (worker.go). A scan (scan.go) opens the project's spool,
// answers the requests, folds the drops, sweeps where that is due, and closes the
// spool again. Between scans a worker keeps nothing but its lock, its watches
// and the shape of its queue. It scans when an event says that something came,
// when something falls due, when a retry is due, and at every
// Settings.ScanInterval, or every second where it cannot watch. A full scan also
// renews the watches, and sweeps in any case: the first one, the one after an
// error, and once in each interval.
//
// All workers share one watch.Table. What state a project is in a worker writes to
// the file of the lock that it holds.
//
// # Invariants
//
//   - Events are hints and the directory is the truth. A lost, doubled or late
//     event costs a scan and never a signal. What no event tells, such as an
//     ancestor that was renamed, is found after Settings.ScanInterval at the latest.
//   - The agent that serves a project holds the lock on .spool/agent.lock. What the
//     file says (see Holder) is for people; only the lock counts, for a process id
//     may be reused and a file outlives its writer. A directory that is known by
//     two names is served once: the second worker finds the lock held, and in the
//     file this agent with the other name. The agent for all projects of a user
//     holds agent.lock in the state directory besides.
//   - A worker begins to watch only while it holds its lock, and only what it has
//     just opened or looked at. So no two workers watch one directory, unless it has
//     two names and there are few open files (see below); then the scan interval has
//     to do.
//   - A file system that does not answer holds up its own worker only. A scan has
//     a goroutine of its own, gives its slot back after slotTime, and nothing that
//     may hang is done under a mutex. That it hangs is logged.
//   - A scan ends after scanTime, between two batches, and the next one goes on.
//     Only the wait for a queue's lock that another program holds goes on for as
//     long as it takes, in the kernel's own line.
//   - What is wrong with one project is retried and concerns no other. A project
//     that cannot be watched, or is not there, is polled.
//   - With few open files, scans take turns, and the locks beyond maxLocks are held
//     during scans only.
//   - Times between events are measured by the monotonic clock.
package agent
