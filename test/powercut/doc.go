// Package powercut shows what is left of the agent's promises after a power
// cut. It has only tests, and these only on Linux with the build tag powercut;
// they need root, /dev/fuse, loop devices, and the mkfs of ext4, xfs and btrfs.
//
// # How it works
//
// A file system lies on a loop device, and that on a file of the recorder: a
// FUSE server, in a process and a module of its own, that records every write
// to the disk and every flush in their order. The real agent runs on that file
// system under a workload, while notes are taken of what an outside observer
// saw, each with the number of records at that time.
//
// A power cut is a point in the record. The disk after it has all writes up to
// the last flush before the point, and of the later ones none, all, or some,
// down to single sectors. That disk is mounted, the agent starts on it under
// another boot ID or an unknown one, has to answer a drain and to serve again
// the projects whose registration was seen, and stops. Then what it has
// delivered and what is on the disk is compared with the notes.
//
// # What must hold
//
//   - What was seen in a queue under its lock, or in a reply, is there: in the
//     answer, a queue, or a reply. Exceptions: it was acknowledged, a stranger
//     took it, or the cap may have evicted it, since as many signals came later,
//     those that come again included.
//   - A line that a stranger appended and synced is there, likewise.
//   - Every signal carries a checksum of itself. No garbled line is in an
//     answer, a reply or a queue.
//   - Nothing is in rejected but what a producer or a stranger left garbled: no
//     piece of the agent's own writing, no record of its own.
//   - The ledger closes and counts the queue. Its totals go on: they are at
//     least what they were before the last syncfs(2).
//   - The agent answers within 15 seconds by itself, and stops on SIGTERM.
//   - A signal that was gone before a syncfs(2) is not there again after it.
//     Repeats of later ones are permitted, and counted.
//
// The package treats the agent as a black box of commands and files, so that
// it can try any version of it: SPOOL_AGENT names a program, else the test
// builds this module's. Run on the agent of the first step it finds all the
// faults that the tests of faults_test.go are named after.
//
// Everything runs in a mount and a process namespace of its own, with all
// files in memory. So nothing is left behind, however the test ends.
package powercut
