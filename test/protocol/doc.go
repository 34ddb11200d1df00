// Package protocol holds the proof of spoolfiles/PROTOCOL.md: its examples are
// taken out of it and run, all at once, against the real agent, and each of its
// numbered rules has a test here or names the one that it has elsewhere.
//
// Without build tags, the examples in sh and Go are run; with the tag tools,
// those in sh by several shells, and those in Python and JavaScript. The tag
// root adds what only root can arrange.
package protocol
