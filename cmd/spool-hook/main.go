// Command spool-hook is what AI coding tools run as their hook: it stores one
// event, as the tool gives it, as a drop. PROTOCOL.md says in which project (R33),
// and what makes that registered (R32).
//
//	spool-hook [SOURCE] [EVENT]
//
// The event comes on standard input or, as from the notify of Codex, as the last
// argument, if that begins with a brace. SOURCE is the tool's name. Other
// arguments are ignored.
//
// A hook must not disturb the tool that runs it. So this prints nothing, exits
// with 0 whatever happens, and reads no configuration. It reads its input in
// pieces, and to the end of the event even when it cannot store it. It depends on
// nothing that it does not need: a tool waits while it starts.
package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"spoolagent/agent/registry"
	"spoolagent/spoolfiles"
)

func main() {
	defer os.Exit(0)
	defer func() { recover() }() // the runtime would print
	hook(os.Args[1:])
}

func hook(args []string) {
	var event io.WriterTo
	if n := len(args); n > 0 && strings.HasPrefix(args[n-1], "{") {
		event = strings.NewReader(args[n-1] + "\n")
		args = args[:n-1]
	} else {
		in := new(input)
		defer in.discard()
		event = in
	}
	source := ""
	if len(args) > 0 {
		source = spoolfiles.DropSource("." + args[0] + ".json")
	}
	store(source, event)
}

// store stores the event if it can. There is nobody to tell if not.
func store(source string, event io.WriterTo) {
	start, err := spoolfiles.Start()
	if err != nil {
		return
	}
	project := spoolfiles.Find(start)
	reg := registry.Registry{}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		reg.Dir = filepath.Join(home, ".local", "state", "spool-agent", "projects")
	}
	name, err := spoolfiles.NewDropName(source)
	if err != nil || quick(project, reg.Dir, name, event) {
		return
	}
	sp, err := spoolfiles.OpenToDrop(project)
	if err != nil {
		return
	}
	if err := sp.DropContent(name, event); err == nil && reg.Dir != "" {
		_, _ = reg.AddSpool(sp, true) // the next drop tries again if this fails
	}
}
