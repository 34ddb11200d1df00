// Package queue keeps the canonical queue of a spool: the file
// .spool/distill-pending.queue, the ledger that accounts for every signal, and
// the one transaction by which both change.
//
// # Formats
//
// The queue is JSON Lines, one signal in canonical form a line (see
// signal.Signal.AppendLine). Blank lines mean nothing. Lines that are not
// signals are moved to rejected when the queue next changes, and never count.
//
// ledger.json is one JSON object: the running totals of the project since its
// creation, and how many signals the queue had when they were written. It is
// replaced by rename at the end of every transaction.
//
// queue.redo is absent, or blank, but while a transaction is under way; see
// redo.go for its form.
//
// # The lock
//
// Whoever reads the queue for sure or changes it holds flock(2) on the queue
// file itself, as the original does, so that its drain_all and flock(1) share
// the queue with us. The file is therefore changed in place and keeps its
// inode: a program that waits for the lock still has the right file when it
// gets it. We compare all the same, for somebody may delete .spool.
//
// # The transaction
//
// A fold, a drain, the return of a reply and a reject are all one thing: a
// change of the queue together with moves of files and a new ledger. commit
//
//  1. writes all of it to queue.redo, with a checksum;
//  2. changes the queue, by copying from queue.redo;
//  3. moves and removes the files;
//  4. replaces ledger.json, and blanks queue.redo.
//
// Whoever gets the lock next after a crash finds queue.redo and finishes (or,
// if step 2 had not begun, forgets) the transaction. With Options.Fsync, each
// step is on the disk before the next begins, as far as the next destroys what
// the former needs.
//
// # Exactly once, beside strangers
//
// Between our crash and our recovery, a program that knows nothing of
// queue.redo may get the lock, read the queue and truncate it. Afterwards an
// empty queue says nothing of what had been in it: had our signals been there,
// and did the stranger take them, or not? A redo log alone cannot answer that:
// any note "copied" is made before or after the copy, and the crash may fall
// between the two.
//
// So the kernel makes the note. On Linux a step of the change is one
// sendfile(2) from queue.redo to the queue, and its offset argument lies in a
// shared mapping of queue.redo itself: the call that changes the queue also
// writes, before it returns and with no instruction of ours between, how far
// it came. A killed process leaves exact evidence even in the middle of a
// copy. And the steps are chosen so that every state between them is one a
// stranger may read: an append grows the file by whole lines at the end; any
// other change first overwrites the old lines with line feeds, front to back,
// and then writes the new ones, so what is visible is always some of the old
// signals or some of the new, never both, and a line cut in the middle is
// malformed to everybody.
//
// If strangers have been at the queue when a change is found that was cut
// within a copy, the rest is planned anew: what had been visible was theirs to
// take, and what had not is appended.
//
// One window remains: when the process is killed inside the overwriting of the
// old lines (one copy in the kernel, some microseconds), and a stranger drains
// before any of our programs looks, then the lines it found not yet
// overwritten are delivered to it and kept by us: twice, never lost. So is one
// line if a copy is cut right before its line feed. Where there is no such
// sendfile (not Linux, or a file system without shared mappings), the evidence
// is what the queue looks like, which is exact as long as no stranger
// intervenes in that very moment.
package queue
