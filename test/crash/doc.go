// Package crash has only tests. They prove what is promised of crashes and
// of sick disks, on the real program: nothing is lost, nothing is there twice,
// the order holds, and the ledger closes with exactly the totals that it should
// have.
//
// Every scenario is an operation on a small spool: a fold that appends, one
// that trims, one of more drops than the cap, rejects, a drain with and without
// an agent, the return of a reply that nobody claimed. It is done by "agent
// drain" or "agent run" as they are; or by a helper process that does to the
// queue what the agent does, all in one thread, which makes its system calls
// the same at each run. fsync is on. strace(1) does the harm:
//
//   - TestKill kills the process at each of its file-system calls. At those
//     that change something it does so again and lets a stranger in: a program
//     that knows the queue's lock and nothing else of ours, and drains, appends
//     or both. The other calls leave on the disk what the one before had left.
//   - TestKillRecovery kills the process at each call that changes something,
//     lets a stranger in or not, and kills the next one at each call of its
//     recovery that changes something.
//   - TestError has the calls fail that can fail on a full or sick disk, once or
//     from then on. The error must be reported; then the disk is well again.
//     The calls that only look fail, too: then a drop may miss its turn.
//
// After each, whoever gets the lock must see whole lines. Then the program is
// started again and finishes, another drop is folded, and every signal must be
// in exactly one place: the queue, a consumer's or a stranger's hands, or
// evicted and counted as that.
//
// The processes are killed between the kernel's calls. What a kill in the middle
// of a copy leaves is tested in package queue, byte by byte.
//
// The tests have the build tag tools, for strace. With -short they try a spread
// of all that. Go moves the work of the real program from thread to thread, and
// strace counts the calls of each thread: so a kill may come later than intended,
// or too late. Where it came is read from strace's log; the whole run tries again
// what it has missed.
package crash
