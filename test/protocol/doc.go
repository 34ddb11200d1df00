// Package protocol holds the proof of spoolfiles/PROTOCOL.md: its examples
// are taken out of it and run, all at once, against the real agent, and each of
// its numbered rules has a test here or names the one that it has elsewhere.
package protocol
