package main

import (
	"github.com/spf13/cobra"

	"spoolagent/service"
)

func restartCommand() *cobra.Command {
	return serviceVerb(&cobra.Command{
		Use:   "restart",
		Short: "Restart the service, after an upgrade for example",
		Long: `Stops the service, starts it again, and waits until it serves. If it does not
run, it is started. What is dropped meanwhile waits, and nothing is lost.`,
		Example: `  agent restart`,
	}, "", (*service.Service).Restart)
}
