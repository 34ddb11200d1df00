//go:build tools

package agenttest

// Tools says whether the build tag tools is set.
const Tools = true

// Shells are the shells that scripts are tested with, as the beginnings of
// command lines.
var Shells = [][]string{{"dash"}, {"bash"}, {"bash", "--posix"}, {"busybox", "sh"}}

// Awks are the same for awk.
var Awks = [][]string{{"mawk"}, {"gawk"}, {"busybox", "awk"}, {"original-awk"}}

// CommandShells are the shells that tools may run commands with.
var CommandShells = append([][]string{{"zsh"}, {"fish"}}, Shells...)
