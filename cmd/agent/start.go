package main

import (
	"github.com/spf13/cobra"

	"spoolagent/service"
)

func startCommand() *cobra.Command {
	return serviceVerb(&cobra.Command{
		Use:     "start",
		Short:   "Start the installed service",
		Long:    `Starts the service that 'agent install' has installed, and waits until it serves.`,
		Example: `  agent start`,
	}, "the service runs already", (*service.Service).Start)
}
