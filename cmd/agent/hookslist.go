package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/agent/status"
	"spoolagent/configs"
	"spoolagent/configs/hooks"
	"spoolagent/internal/quote"
)

func hooksListCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [--json]",
		Short: "Show which tools are here, which are connected, and when each last left a signal",
		Long: `Shows for each tool whether it is here, and whether it is connected: for you
(user), in the project, or not. It is here if its program is in your PATH. "outdated"
says that its hooks, or the program and the scripts that they run, are not all there
or not those of this version, "gone" that somebody else has taken the hooks out; to
install again fixes these. "off" says that a setting of the tool keeps them from
running; it is named. The other projects in which a tool was connected are shown as
well.

LAST SIGNAL is when the newest signal of the tool was folded, in any project.`,
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
			list := listHooks(cmd.Context(), setup, project, o.lastSignals(cmd.Context()))
			if asJSON {
				return printJSON(list)
			}
			return printHooks(os.Stdout, list, project, painter(inColour(os.Stdout)))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// lastSignals are the times of the newest signal from each source, over all
// projects that are registered or configured.
func (o *options) lastSignals(ctx context.Context) map[string]time.Time {
	c, err := o.load()
	if err != nil {
		c = configs.Default()
	}
	state, err := stateDir()
	reg, rerr := projectRegistry()
	if err != nil || rerr != nil {
		return nil
	}
	projects, _ := listed(c, reg)
	// If it is interrupted, so is the command.
	r, _ := status.Report(ctx, status.Config{StateDir: state, Projects: projects, Options: queueOptions(c)})
	return newest(r.Projects)
}

// newest are the times of the newest signal from each source, over these projects.
func newest(projects []status.ProjectStatus) map[string]time.Time {
	last := map[string]time.Time{}
	for _, p := range projects {
		for source, came := range p.Activity {
			if came.Last.After(last[source]) {
				last[source] = came.Last
			}
		}
	}
	return last
}

// hooksList is what "hooks list" shows.
type hooksList struct {
	Tools       []hooksTool  `json:"tools"`
	Connections []hooksState `json:"connections"` // of each tool the user's and the project's, connected or not, and those in other projects
}

type hooksTool struct {
	Name       string    `json:"name"`
	Title      string    `json:"title"`
	Here       bool      `json:"here"`
	LastSignal time.Time `json:"last_signal,omitzero"`
}

type hooksState struct {
	Tool    string      `json:"tool"`
	Project string      `json:"project,omitempty"` // none: the user's
	File    string      `json:"file"`
	State   hooks.State `json:"state"`
	Error   string      `json:"error,omitempty"`
	Off     string      `json:"off,omitempty"` // what keeps the hooks from running
}

func listHooks(ctx context.Context, setup *hooks.Setup, project string, last map[string]time.Time) hooksList {
	list := hooksList{}
	for _, t := range hooks.Tools() {
		list.Tools = append(list.Tools, hooksTool{t.Name, t.Title, t.Here(), last[t.Name]})
	}
	for _, c := range setup.Connections(ctx, project) {
		s := hooksState{Tool: c.Tool.Name, Project: c.Project, File: c.File, State: c.State, Off: c.Off}
		if c.Err != nil {
			s.Error = c.Err.Error()
		}
		list.Connections = append(list.Connections, s)
	}
	return list
}

// wrongHooks says what is wrong with the hooks in a file.
var wrongHooks = map[hooks.State]string{
	hooks.Outdated: "the hooks in %s, or what they run, are not complete or not of this version",
	hooks.Gone:     "somebody else has taken the hooks out of %s",
}

// trouble is what is wrong with a connection, and the state that says so; empty if
// nothing is.
func (s hooksState) trouble() (state, text string) {
	command := "agent hooks install " + s.Tool
	if s.Project != "" {
		command += " --project " + quote.Shell(s.Project)
	}
	switch wrong := wrongHooks[s.State]; {
	case wrong != "":
		return string(s.State), fmt.Sprintf(wrong+"; install them again: %s", place(s.File), command)
	case s.Off != "" && (s.Tool == "git" || s.Tool == "cline"): // of some hooks
		return "partly", s.Off
	case s.Off != "":
		return "off", fmt.Sprintf("the hooks in %s do not run: %s", place(s.File), s.Off)
	}
	return "", s.Error
}

// printHooks prints the list for people.
func printHooks(out io.Writer, list hooksList, project string, p painter) error {
	table := []row{{bold, []string{"TOOL", "HERE", "CONNECTED", "LAST SIGNAL", "SETTINGS"}}}
	var troubles []string
	now := time.Now()
	for _, t := range list.Tools {
		here := map[bool]string{true: "yes", false: "no"}[t.Here]
		last := age(t.LastSignal.Format(time.RFC3339), now)
		if t.LastSignal.IsZero() {
			last = "none yet"
		}
		none := row{"", []string{t.Name, here, "no", "", ""}}
		rows := len(table)
		for _, s := range list.Connections {
			if s.Tool != t.Name {
				continue
			}
			state, trouble := s.trouble()
			if trouble != "" {
				troubles = append(troubles, t.Name+": "+named(safe(trouble)))
			}
			if s.State == hooks.None {
				none.cells[4] = cmp.Or(none.cells[4], place(s.File))
				continue
			}
			where, shade := map[string]string{"": "user", project: "project"}[s.Project], green
			where = cmp.Or(where, "other project")
			if state != "" {
				where, shade = fmt.Sprintf("%s (%s)", where, state), yellow
			}
			table = append(table, row{shade, []string{t.Name, here, where, last, place(s.File)}})
		}
		if len(table) == rows {
			none.cells[4] = cmp.Or(none.cells[4], "in each repository")
			table = append(table, none)
		}
	}
	lines := layTable(table, p)
	if len(troubles) > 0 {
		lines = append(append(lines, ""), troubles...)
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}
