// Package agenttest runs the real agent for tests: it builds the program, gives
// it a user with an empty home directory, starts, asks, stops and kills it,
// waits for what must come true, and samples processes.
//
// What it knows of the agent is what users know: the commands, the JSON of
// "agent status", the files of PROTOCOL.md. So the suites that stand on it see
// a black box.
//
// A test that cannot go on ends by [testing.TB.Fatalf]; the functions here may
// be called in any goroutine, which ends then.
package agenttest
