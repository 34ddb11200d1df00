// Package spoolfiles is the spool protocol on disk: the directories (Spool) and
// the files that move between them (drops, rejects, requests and replies). What
// is in a drop is package signal's affair. A Go program that only drops imports
// this package, which needs the standard library and x/sys and nothing else.
//
// # Layout
//
//	.spool/
//	  .gitignore               contains *
//	  tmp/                     producers write here ...
//	  incoming/                ... and rename here
//	  control/                 drain requests in, replies out
//	  rejected/                what could not be folded, with the reason
//
// The queue and its companions (distill-pending.queue, queue.redo,
// ledger.json) belong to package queue, agent.lock and .registered to package
// agent.
//
// # Drops
//
// A producer writes tmp/NAME and renames it to incoming/NAME. NAME ends in
// ".json", does not begin with a dot, and is unique. From the rename on the
// drop is the spool's to keep. Its content is one JSON object: a signal, or a
// raw hook event as an AI tool hands it to its hook (see signal.DecodeDrop).
//
// # Control
//
// control/ID.drain asks for a drain. The answer is control/ID.signals or
// control/ID.error; deleting it acknowledges it. control/ID.returning is a
// reply that nobody claimed, on its way back into the queue.
//
// # Trust
//
// Whatever lies in a spool may have been put there by an enemy: a cloned
// repository, another user. So every directory is opened once, without
// following links, and everything below it is reached through that open
// directory (Dir), never by a path that could be swapped. Only regular files
// that belong to this user are opened, without blocking, and they are checked
// again after the opening.
package spoolfiles
