package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"spoolagent/agent/registry"

	"github.com/spf13/cobra"
)

func listCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [--json]",
		Short: "List the projects that are served",
		Long: `Lists the projects that the agent of this user serves, whether it runs now or
not: those that are registered, by 'agent add' or by a hook, and those that the
configuration names. One path a line; with --json, also who named it.`,
		Example: `  agent list
  agent list --json | jq -r '.[] | select(.registered) | .path'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(o.projects) > 0 {
				return usage("list takes no --project; 'agent status --project DIR' is about one")
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			reg, err := projectRegistry()
			if err != nil {
				return err
			}
			all, err := listed(reg, configured(c), complain)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(os.Stdout)
				enc.SetEscapeHTML(false)
				return enc.Encode(all)
			}
			for _, p := range all {
				if _, err := fmt.Println(safe(p.Path)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array")
	return cmd
}

// listedProject is a project and who named it.
type listedProject struct {
	Path       string `json:"path"`
	Registered bool   `json:"registered"`
	Configured bool   `json:"configured"`
}

// listed are the projects that are registered or configured, by path. What the
// registry has besides is complained of.
func listed(reg registry.Registry, configured []string, complain func(error)) ([]listedProject, error) {
	all := []listedProject{}
	registrations, err := reg.List()
	if err != nil {
		return nil, err
	}
	for _, r := range registrations {
		if r.Err != nil {
			complain(r.Err)
			continue
		}
		all = append(all, listedProject{Path: r.Path, Registered: true})
	}
	for _, path := range configured {
		i := slices.IndexFunc(all, func(p listedProject) bool { return p.Path == path })
		if i < 0 {
			all = append(all, listedProject{Path: path, Configured: true})
		} else {
			all[i].Configured = true
		}
	}
	slices.SortFunc(all, func(a, b listedProject) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}
