package main

import (
	"github.com/spf13/cobra"

	"spoolagent/service"
)

func uninstallCommand() *cobra.Command {
	return serviceVerb(&cobra.Command{
		Use:   "uninstall",
		Short: "Stop the service and remove it",
		Long: `Stops the service and removes what 'agent install' has made. The projects'
spools, the configuration and the list of projects stay, and so does this
program: drops wait in the spools, and 'agent drain' works without a service.`,
		Example: `  agent uninstall`,
	}, "the service is not installed", (*service.Service).Uninstall)
}
