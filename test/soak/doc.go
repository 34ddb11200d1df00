// Package soak holds the test in which a user's agent has a hard time for
// long: fifty projects, with hooks, consumers that come and die, strangers that
// share the queues by flock(1), and somebody who deletes, moves, registers and
// removes projects, while the agent is killed and started again. At its end
// every signal must be accounted for, and the agent must not have grown.
//
// It has the build tag long; SPOOL_SOAK says how long it takes, 10 minutes if unset.
// A run has two parts: in the storm the agent is killed again and again; in the
// calm, which is the last third, one agent bears all the rest, so that it would
// show if it grew.
package soak
