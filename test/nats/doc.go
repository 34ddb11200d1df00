// Package nats has only tests. They prove that "agent drain --follow --id"
// brings every signal to a real broker, NATS JetStream, exactly once, whatever
// dies on the way.
//
// Hooks and programs drop signals, some of them byte for byte the same, while
// the agent, the follower and the publisher are killed at random and started
// again. The publisher gives each message the signal's id, and the broker
// discards repeats. In the end the stream must have every signal once, in the
// order in which they were drained, and the ledger must close.
//
// There are two ways to the broker. With a command, the publisher runs for each
// batch and may die as well: a batch is taken once its command has ended well.
// With a pipe, the publisher must live: what the pipe has counts as taken.
//
// The README's commands are run as they are, too, with the nats command.
//
// The broker runs in the test's process, on a free port of the loopback
// interface. It is not part of the product.
package nats
