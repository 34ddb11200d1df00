package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// called is the name by which this program was called. Where another program has
// the short one, it is the long one.
func called() string {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "spool-agent" {
		return "spool-agent"
	}
	return "agent"
}

// named is a message in which our commands, which all of them call by the short
// name, have the name by which this program was called.
func named(message string) string {
	name := called()
	if name == "agent" {
		return message
	}
	return commands().ReplaceAllString(message, "${1}"+name+" $2")
}

// commands matches them where they stand alone or are quoted.
var commands = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)(^ *|['(]|[:;,&] )agent (install|uninstall|start|stop|restart|status|doctor|drain|peek|` +
		`drop|add|remove|list|on|off|hooks|run|print|version|completion|--)`)
})

// nameAll does so in the help of a command and of those below it.
func nameAll(cmd *cobra.Command) {
	cmd.Use, cmd.Long, cmd.Example = named(cmd.Use), named(cmd.Long), named(cmd.Example)
	for _, c := range cmd.Commands() {
		nameAll(c)
	}
}
