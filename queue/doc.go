// Package queue keeps the canonical queue of a spool: the file
// .spool/distill-pending.queue, and the ledger that accounts for every signal.
//
// # The queue
//
// The queue is JSON Lines, one signal in canonical form a line (see
// signal.Signal.AppendLine). Spaces and blank lines mean nothing; they are what
// evicted and drained lines leave. Lines that are not signals are moved to
// rejected when the queue next changes.
//
// The file only ever grows at its end, is overwritten with blanks, or is emptied
// once nothing but blanks is left. A new line never takes the place of an old
// one, so no power cut can mix two lines into one that is valid JSON.
//
// # The lock
//
// Whoever reads the queue for sure, or changes it, holds flock(2) on the queue
// file itself, as the original does. So its drain_all and flock(1) share the
// queue with us. The file is therefore changed in place and keeps its inode: a
// program that waits for the lock still has the right file when it gets it.
//
// # The transaction
//
// A change of the queue together with files that come or go is a transaction.
// It has a record, in one of two files: queue.record-0 and queue.record-1 take
// turns. The newer one counts, unless its transaction never began. A record is
//
//	STATE CRC JSON    the header, padded with spaces to 2,048 bytes
//	OLD               what is overwritten
//	BODY              the lines to append
//	PATTERN           the blanks to overwrite with
//	CELLS             for each copy, how far it came, and where it writes
//
// STATE is pending, done or void, CRC the CRC-32C of the JSON text, which has
// the checksum of OLD and BODY in turn; a record without those is void. See type
// record for the JSON fields. They have the ledger before and after: a power cut
// can leave a record torn, and keep the one before from the disk.
//
// A transaction
//
//  1. moves the drops that it takes to .spool/work,
//  2. writes its record,
//  3. overwrites, then appends, by copying from the record,
//  4. syncs the queue, if it has appended,
//  5. empties work, publishes a reply, or removes one that has returned,
//  6. marks its record as done, and empties a queue of nothing but blanks.
//
// What it does to each of these is its verb:
//
//	fold     appends the lines of the drops in work, and removes the drops
//	evict    overwrites the oldest lines
//	drain    overwrites all lines; publishes tmp/reply-ID as control/ID.signals
//	return   overwrites all; appends the lines of control/ID.returning, and the old ones
//	compact  overwrites all; appends the old lines: no blanks are left
//
// # Recovery after a kill
//
// Who gets the lock next finds a pending record. The cells prove how far each
// copy came (see exactly.go). If none has begun, the transaction never happened:
// the drops in work go back to incoming. Else it is completed, unless somebody
// else has changed the queue meanwhile where a copy was cut:
//
//   - Cut while overwriting. Lines whose first byte was overwritten nobody else
//     can have taken. An eviction ends there. Of a drain, these lines go back
//     into the queue, and the request is answered afresh. A return or a
//     compaction begins again with them.
//   - Cut while appending. If the copy's place is as the cut has left it, the copy
//     goes on there. Else the rest is appended, from the line on that was cut.
//
// Each of these is a transaction with a record of its own. So every signal is in
// exactly one place, whatever is killed when, and whoever comes between.
//
// What is rejected is no signal, and needs no transaction. Drops are renamed to
// rejected, and malformed lines copied there before a compaction takes them out
// of the queue. The next record counts them, so after a kill the ledger may lack
// some rejects. And a malformed line, or the reason of one, may be in rejected
// although somebody else has taken the line from the queue.
//
// # Recovery after a power cut
//
// The boot in the record is another one. Then the cells prove nothing, and the
// files decide; see type reconciliation. With Options.Fsync
//
//   - a fold syncs the queue before it removes the drops: one sync;
//   - an eviction comes after that sync, and needs none;
//   - a drain syncs the reply and the record before it overwrites, and control
//     before the record is marked as done;
//   - a return and a compaction sync the record before they overwrite, for it is
//     the only place of the lines then.
//
// Where the kernel cannot copy exactly (other systems than Linux, some file
// systems), every recovery is one of this kind. So it is with Options.Plain,
// which the agent sets on network and FUSE file systems: one that ceases to answer
// would stop the whole process at an access to a mapping.
package queue
