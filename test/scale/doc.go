// Package scale holds the tests of one agent with many projects: as many as
// have watches, and far more than that. What they measure they print.
//
// As ordinary tests they are of moderate size. SPOOL_SCALE=full makes them as
// large as is promised, 1,000 projects and 5,000, which takes some minutes.
package scale
