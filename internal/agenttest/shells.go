//go:build !tools

package agenttest

// Tools says whether the build tag tools is set.
const Tools = false

// Shells are the shells that scripts are tested with, as the beginnings of
// command lines: the one that every machine has, and with the build tag tools
// those that there are behind its name elsewhere.
var Shells = [][]string{{"sh"}}

// Awks are the same for awk.
var Awks = [][]string{{"awk"}}

// CommandShells are the shells that tools may run commands with.
var CommandShells = Shells
