// Package scale holds the tests of one agent with many projects: as many as
// have watches, 1,000, and far more than that, 5,000. What they measure they
// print. They have the build tag long, since they take minutes; with -short
// they are a tenth as large.
package scale
