// Package clients runs the real AI tools, and sees what becomes of their events.
//
// Its tests install pinned versions of the tools from npm, connect each by
// "agent hooks install", and run it as an ordinary user with a home directory of
// the test's own, while the real agent runs. The model is a fake on loopback, so
// that neither a network nor an account is needed. What is drained afterwards must
// be the session: every event once, in order. Without hooks the same session must
// print the same and end with the same status.
//
//	make clients    needs npm, and minutes
//
// With SPOOL_CLIENTS_LOG=DIR, what the tools ask the model is written there.
package clients
