// Package spoolfiles is the spool protocol on disk: the directories (Spool) and
// the files that move between them (drops, rejects, requests and replies). The
// content of a drop is package signal's. A Go program that only drops imports
// this package, which needs the standard library and x/sys and nothing else.
//
// # Layout
//
//	.spool/
//	  .gitignore               contains *
//	  tmp/                     producers write here ...
//	  incoming/                ... and rename here
//	  work/                    the agent's own: drops on their way into the queue
//	  control/                 drain requests in, replies out
//	  rejected/                what could not be folded, with the reason
//
// The queue and its companions belong to package queue, agent.lock and
// .registered to package agent.
//
// # Drops
//
// A producer writes a file in tmp and renames it to incoming/NAME. NAME ends in
// ".json", does not begin with a dot, and is unique; it may tell the source of
// the drop (see DropSource). From the rename on the drop is the spool's. Its
// content is one JSON object: a signal, or a raw hook event as an AI tool hands
// it to its hook (see signal.DecodeDrop).
//
// # Control
//
// control/ID.drain asks for a drain. The answer is control/ID.signals or
// control/ID.error; its deletion acknowledges it. control/ID.returning is a
// reply that was not acknowledged, on its way back into the queue.
//
// # Trust
//
// A cloned repository or another user may have put anything into a spool. So
// .spool is opened once, without following links, and is the root (os.Root) of all
// that is reached below it. It and its directories must belong to this user, which
// is checked when the spool is opened. An os.Root follows links that stay
// inside it, so Dir opens a file, or lists a directory, only if it is the inode
// that Lstat showed. Nothing but regular files of this user is opened, and opening
// does not block.
//
// What is made has mode 0700 or 0600, whatever umask and default ACLs say, and
// directories that are found open to others are made private.
package spoolfiles
