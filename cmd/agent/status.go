package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/spoolfiles"
)

func statusCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [--json]",
		Short: "Show how things are with the agent and its projects",
		Long: `Shows every project that is configured or that a running agent serves, with
--project only that one. The numbers are counted on disk, agent or not.

Exit status 3 says that no agent serves any of these projects.`,
		Example: `  agent status
  agent status --json --project . | jq .projects[0].queued`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.atMostOne(); err != nil {
				return err
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			projects, err := o.given()
			if err != nil {
				return err
			}
			state, err := stateDir()
			if err != nil {
				return err
			}
			only := len(projects) > 0
			if !only {
				all, err := listed(state, configured(c))
				if err != nil {
					return err
				}
				for _, p := range all {
					projects = append(projects, p.Path)
				}
			}
			r, err := agent.Report(cmd.Context(), agent.ReportConfig{
				StateDir: state,
				Projects: projects,
				Only:     only,
				Options:  queueOptions(c),
				Version:  version(),
			})
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(os.Stdout)
				enc.SetEscapeHTML(false)
				err = enc.Encode(r)
			} else {
				err = printReport(os.Stdout, r, painter(inColour(os.Stdout)), time.Now())
			}
			switch {
			case err != nil:
			case !r.Running:
				err = &exit{status: exitNoAgent}
			case r.NeedsAttention():
				err = &exit{status: exitFailed}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// fewProjects is up to how many projects have their ledgers shown.
const fewProjects = 3

// printReport prints a report for people. What comes from disk is made safe.
func printReport(w io.Writer, r agent.Status, p painter, now time.Time) error {
	out := bufio.NewWriter(w)
	switch {
	case r.Running:
		fmt.Fprintf(out, "agent %s, pid %d, version %s, since %s\n",
			p.paint("running", green), r.PID, safe(r.Version), moment(r.StartedAt))
	case len(r.Projects) == 0:
		fmt.Fprintf(out, "%s, and no project is configured; name one with --project DIR\n", p.paint("no agent is running", red))
	default:
		fmt.Fprintf(out, "%s; start one with 'agent run'\n", p.paint("no agent is running", red))
	}
	if len(r.Projects) == 0 {
		return out.Flush()
	}

	table := [][]cell{{{text: "PROJECT"}, {text: "STATE"}, {text: "QUEUED/CAP", right: true}, {text: "INCOMING", right: true},
		{text: "REPLIES", right: true}, {text: "REJECTED", right: true}, {text: "LAST FOLD"}}}
	for i := range table[0] {
		table[0][i].colour = bold
	}
	for _, pr := range r.Projects {
		limit := "-"
		if pr.Cap > 0 {
			limit = strconv.Itoa(pr.Cap)
		}
		table = append(table, []cell{
			{text: place(pr.Path)},
			{text: safe(string(pr.State)), colour: stateColours[pr.State]},
			{text: strconv.Itoa(pr.Queued) + "/" + limit, right: true},
			{text: strconv.Itoa(pr.Incoming), right: true},
			{text: strconv.Itoa(pr.Replies), right: true},
			{text: strconv.Itoa(pr.Rejected), right: true},
			{text: age(pr.LastFoldAt, now)},
		})
	}
	fmt.Fprintln(out)
	printTable(out, table, p)

	for _, pr := range r.Projects {
		if lines := notes(pr, len(r.Projects) <= fewProjects, p); len(lines) > 0 {
			fmt.Fprintf(out, "\n%s\n  %s\n", place(pr.Path), strings.Join(lines, "\n  "))
		}
	}
	return out.Flush()
}

var stateColours = map[agent.State]colour{
	agent.StateServing: green,
	agent.StatePolling: yellow,
	agent.StateHeld:    yellow,
	agent.StateMissing: red,
	agent.StateError:   red,
	agent.StateStopped: red,
}

// notes is what the table does not say of a project.
func notes(pr agent.ProjectStatus, withLedger bool, p painter) (lines []string) {
	if withLedger {
		lines = append(lines, ledger(pr))
	}
	if pr.Error != "" {
		lines = append(lines, p.paint("error: ", red)+safe(pr.Error))
	}
	if pr.Rejected > 0 {
		dir := place(filepath.Join(pr.Path, spoolfiles.DirName, "rejected"))
		lines = append(lines, "rejected: files and reasons are in "+dir)
	}
	return lines
}

// ledger is the ledger's equation. It holds at any quiet moment.
func ledger(p agent.ProjectStatus) string {
	l, equals := p.Ledger, "="
	if l.Folded+l.Returned+l.External != int64(p.Queued)+l.Drained+l.Evicted {
		equals = "!="
	}
	return fmt.Sprintf("ledger: folded %d + returned %d + external %d %s queued %d + drained %d + evicted %d",
		l.Folded, l.Returned, l.External, equals, p.Queued, l.Drained, l.Evicted)
}

// place is a path for people: short, and safe to print.
func place(path string) string {
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		if rest, ok := strings.CutPrefix(path, home); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
			path = "~" + rest
		}
	}
	return safe(path)
}

func moment(rfc3339 string) string {
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return safe(rfc3339)
	}
	return t.Local().Format(time.DateTime)
}

func age(rfc3339 string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return "never"
	}
	switch d := max(now.Sub(t), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return t.Local().Format(time.DateOnly)
}
