// Package mutants shows that test/powercut finds what it is there to find. It
// has only a test, and that only on Linux with the build tag powercut, as root.
//
// A mutant is the agent with one deliberate fault: a sync that is left out, or
// two steps of a transaction in the wrong order. The test builds each from a
// copy of this module's sources, and requires that the power cuts that are named
// beside it find the fault. The same agent without any fault has to pass them
// all, or the faults prove nothing.
//
// All of these agents, the one without a fault too, sync a file of their own
// before each step of a transaction, and pause for a moment. So the file system
// commits its journal between any two steps, which is rare otherwise.
//
// One sync has no mutant, that of control after a drain. Without it, no cut
// has shown a fault on ext4, xfs or btrfs, for there the syncs of the next drain
// commit the renaming of the reply, too. No standard says that they must.
package mutants
