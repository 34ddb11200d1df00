package main

import (
	"github.com/spf13/cobra"

	"spoolagent/service"
)

func stopCommand() *cobra.Command {
	return serviceVerb(&cobra.Command{
		Use:   "stop",
		Short: "Stop the service until the next login",
		Long: `Stops the service. It stays installed and starts again at the next login, or
with 'agent start'. Meanwhile drops wait in the projects' spools.`,
		Example: `  agent stop`,
	}, "the service does not run", (*service.Service).Stop)
}
