package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"spoolagent/configs"
	"spoolagent/configs/hooks"
)

func hooksListCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [--json]",
		Short: "Show which tools are here, and which are connected",
		Long: `Shows for each tool whether it is here, and whether it is connected: for you
(user), in the project, or not. It is here if its program is in your PATH. "partly"
says that some of its hooks are missing, "outdated" that they are not those of this
version, "gone" that somebody else has taken them out; to install again fixes these.
"off" says that a setting of the tool keeps them from running; it is named. Below that stand the other projects in which a tool was connected.`,
		Example: `  agent hooks list
  agent hooks list --json --project . | jq '.tools[] | select(.here)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			setup, err := hooks.New(configs.Hook())
			if err != nil {
				return err
			}
			project, err := o.project()
			if err != nil {
				return err
			}
			list := listHooks(cmd.Context(), setup, project)
			if asJSON {
				enc := json.NewEncoder(os.Stdout)
				enc.SetEscapeHTML(false)
				return enc.Encode(list)
			}
			return printHooks(os.Stdout, list, painter(inColour(os.Stdout)))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

type hooksList struct {
	Project   string           `json:"project"`
	Tools     []hooksTool      `json:"tools"`
	Elsewhere []hooksElsewhere `json:"elsewhere"` // other projects in which tools are connected
	Scripts   []hooksState     `json:"scripts"`   // and the program that all these run
}

type hooksElsewhere struct {
	Tool    string `json:"tool"`
	Project string `json:"project"`
	hooksState
}

type hooksTool struct {
	Name  string     `json:"name"`
	Title string     `json:"title"`
	Here  bool       `json:"here"`
	User  hooksState `json:"user"`
	Local hooksState `json:"project"`
}

type hooksState struct {
	File  string      `json:"file,omitempty"` // none: it cannot be connected there
	State hooks.State `json:"state"`
	Error string      `json:"error,omitempty"`
	Off   string      `json:"off,omitempty"` // what keeps the hooks from running
}

func listHooks(ctx context.Context, setup *hooks.Setup, project string) hooksList {
	list := hooksList{Project: project, Elsewhere: []hooksElsewhere{}, Scripts: []hooksState{}}
	stateOf := func(st hooks.Status) hooksState {
		s := hooksState{File: st.File, State: st.State, Off: st.Off}
		if st.Err != nil {
			s.Error = st.Err.Error()
		}
		return s
	}
	files := map[string]string{} // of the project, by tool
	for _, t := range hooks.Tools() {
		user, local := stateOf(setup.Check(ctx, t, "")), stateOf(setup.Check(ctx, t, project))
		if local.File == user.File { // at home, a project has the user's settings
			local = hooksState{State: hooks.None}
		}
		list.Tools = append(list.Tools, hooksTool{t.Name, t.Title, t.Here(), user, local})
		files[t.Name] = local.File
	}
	connections := setup.Connections(ctx)
	for _, c := range connections {
		if c.Project != "" && c.File != files[c.Tool.Name] {
			list.Elsewhere = append(list.Elsewhere, hooksElsewhere{c.Tool.Name, c.Project, stateOf(c.Status)})
		}
	}
	for path, state := range setup.Scripts(connections) {
		list.Scripts = append(list.Scripts, hooksState{File: path, State: state})
	}
	slices.SortFunc(list.Scripts, func(a, b hooksState) int { return strings.Compare(a.File, b.File) })
	return list
}

// printHooks prints the list for people.
func printHooks(out io.Writer, list hooksList, p painter) error {
	w := bufio.NewWriter(out)
	table := [][]cell{{{text: "TOOL"}, {text: "HERE"}, {text: "CONNECTED"}, {text: "SETTINGS"}}}
	for i := range table[0] {
		table[0][i].colour = bold
	}
	var troubles []string
	for _, t := range list.Tools {
		here := "no"
		if t.Here {
			here = "yes"
		}
		var connected, files []string
		shade := green
		for _, s := range []struct {
			hooksState
			where string
		}{{t.User, "user"}, {t.Local, "project"}} {
			switch {
			case s.File == "":
			case s.Error != "":
				troubles = append(troubles, fmt.Sprintf("%s: %s", t.Name, safe(s.Error)))
				shade = red
			case s.Off != "":
				connected, files = append(connected, s.where+" (off)"), append(files, place(s.File))
				troubles = append(troubles, fmt.Sprintf("%s: the hooks in %s do not run: %s", t.Name, place(s.File), safe(s.Off)))
				shade = yellow
			case s.State == hooks.Connected:
				connected, files = append(connected, s.where), append(files, place(s.File))
			case s.State != hooks.None:
				connected, files = append(connected, fmt.Sprintf("%s (%s)", s.where, s.State)), append(files, place(s.File))
				troubles = append(troubles, fmt.Sprintf("%s: the hooks in %s are %s; install them again", t.Name, place(s.File), s.State))
				shade = yellow
			}
		}
		if len(connected) == 0 {
			connected = []string{"no"}
			if shade == green {
				shade = ""
			}
			for _, s := range []hooksState{t.User, t.Local} {
				if len(files) == 0 && s.File != "" {
					files = append(files, place(s.File))
				}
			}
		}
		table = append(table, []cell{{text: t.Name}, {text: here},
			{text: strings.Join(connected, ", "), colour: shade}, {text: strings.Join(files, ", ")}})
	}
	printTable(w, table, p)
	for i, e := range list.Elsewhere {
		if i == 0 {
			fmt.Fprint(w, "\nalso connected, in other projects:\n")
		}
		line := "  " + e.Tool + ", in " + place(e.File)
		switch {
		case e.Error != "":
			line += " (" + safe(e.Error) + ")"
		case e.Off != "":
			line += " (off: " + safe(e.Off) + ")"
		case e.State != hooks.Connected:
			line += " (" + string(e.State) + ")"
		}
		fmt.Fprintln(w, line)
	}
	for _, s := range list.Scripts {
		if s.State != hooks.Connected {
			troubles = append(troubles, fmt.Sprintf("%s is %s; install a tool again", place(s.File), missingOr(s.State)))
		}
	}
	if len(troubles) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(troubles, "\n"))
	}
	return w.Flush()
}

func missingOr(s hooks.State) string {
	if s == hooks.None {
		return "missing"
	}
	return string(s)
}
