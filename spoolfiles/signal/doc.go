// Package signal is the record of the spool protocol: Signal, its line in the
// queue, and what a drop's content becomes.
//
// A line is parsed by ParseLine and made by Signal.AppendLine. DecodeDrop takes
// a drop: a signal, or a raw event as an AI tool hands it to its hook; it also
// shortens payloads.
//
// The package reads and writes no files. A program that only leaves drops
// imports package spoolfiles, which needs no JSON.
package signal
